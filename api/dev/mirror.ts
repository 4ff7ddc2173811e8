// Copies the current model of a registry into the Worker's simulated bucket, as a publication does: the pointer last.

import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import { artefactsIn } from '../../contracts/src/model/artefact.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import { RELEASES_TRIED } from '../registry/follow.ts';
import { readByDigest, readManifest, readPointer, readRelease } from '../registry/read.ts';
import { encodeDocument, type ObjectReader, type ObjectStore } from '../registry/store.ts';

export interface MirrorOptions {
  /** A folder that does not exist is a registry where nothing was published yet. */
  registry: ObjectReader;
  bucket: Pick<ObjectStore, 'put'>;
  /** Model whose pointer is followed. */
  name: string;
  /** Called when a pointer could not be followed, once for each reason. */
  onProblem(reason: string): void;
}
export interface Mirror {
  /** Polls the registry's pointer once. Answers the manifest that the bucket's pointer names now. */
  sync(): Promise<string | undefined>;
}

export function createMirror({ registry, bucket, name, onProblem }: MirrorOptions): Mirror {
  let copied: { release: string; manifest: string } | undefined;
  let problem = '';

  async function copy(): Promise<void> {
    const pointer = (await readPointer(registry, name))?.pointer;
    if (pointer === undefined || pointer.release === copied?.release) return;
    const { manifest: digest, release } = pointer;
    const { manifest, bytes } = await readManifest(registry, digest);
    // The image tower stays: the encoder reads the registry itself.
    for (const file of artefactsIn({ ...manifest, image: undefined }))
      await copyObject(artefactKey(file.digest), file.digest);
    await bucket.put(manifestKey(digest), bytes, 'absent');
    await copyReleases(release);
    await bucket.put(currentKey(name), encodeDocument(pointer));
    copied = { release, manifest: digest };
  }

  /** As many as a Worker reads. */
  async function copyReleases(newest: string): Promise<void> {
    let digest: string | null = newest;
    for (let count = 0; digest !== null && count < RELEASES_TRIED; count++) {
      await copyObject(releaseKey(digest), digest);
      digest = (await readRelease(registry, digest)).previous;
    }
  }

  /** Objects are immutable: what is there is not written again. */
  async function copyObject(key: string, digest: string): Promise<void> {
    await bucket.put(key, await readByDigest(registry, key, digest), 'absent');
  }

  return {
    async sync() {
      try {
        await copy();
        problem = '';
      } catch (error) {
        const reason = reasonOf(error);
        if (reason !== problem) onProblem(reason);
        problem = reason;
      }
      return copied?.manifest;
    },
  };
}
