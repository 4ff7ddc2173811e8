// Copies the current model of a registry folder into the Worker's simulated bucket, as a publication does: pointer last.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { ModelRelease } from '../../contracts/src/model/release.ts';

/** As many as a Worker reads. */
const RELEASES = 3;

/** What is asked of a simulated R2 bucket. */
export interface MirrorBucket {
  head(key: string): Promise<object | null>;
  put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<unknown>;
}
export interface MirrorOptions {
  /** The registry; a folder that does not exist is one where nothing was published yet. */
  folder: string;
  bucket: MirrorBucket;
  /** Model whose pointer is followed. */
  name: string;
  /** Called when a pointer could not be followed, once for each reason. */
  onProblem(reason: string): void;
}
export interface Mirror {
  /** Looks at the folder's pointer once. Answers the manifest that the bucket's pointer names now. */
  sync(): Promise<string | undefined>;
}

export function createMirror({ folder, bucket, name, onProblem }: MirrorOptions): Mirror {
  let copied: { pointer: string; manifest: string } | undefined;
  let problem = '';

  async function copy(): Promise<void> {
    const text = await readFile(join(folder, currentKey(name)), 'utf8').catch(ignoreAbsence);
    if (text === undefined || text === copied?.pointer) return;
    const { manifest, release } = ModelPointer.parse(JSON.parse(text));
    const bytes = await readVerified(manifestKey(manifest), manifest);
    const { text: student, static: fast } = ModelManifest.parse(JSON.parse(bytes.toString()));
    // The image tower stays: the encoder reads the folder itself.
    const files = [student.tokenizer.vocabulary, student.table.file, student.graph.file, fast.table.file];
    if (student.graph.weights) files.push(student.graph.weights.file);
    for (const { digest } of files) await put(artefactKey(digest), digest);
    await put(manifestKey(manifest), manifest);
    await putReleases(release);
    await bucket.put(currentKey(name), new Uint8Array(Buffer.from(text)));
    copied = { pointer: text, manifest };
  }

  /** The newest few are what a reader may want to know of. */
  async function putReleases(newest: string): Promise<void> {
    let release: string | null = newest;
    for (let count = 0; release && count < RELEASES; count++) {
      const bytes = await put(releaseKey(release), release);
      release = ModelRelease.parse(JSON.parse(bytes.toString())).previous;
    }
  }

  /** Objects are immutable: what is there is not written again. */
  async function put(key: string, digest: string): Promise<Buffer> {
    const bytes = await readVerified(key, digest);
    if (!(await bucket.head(key))) await bucket.put(key, new Uint8Array(bytes));
    return bytes;
  }

  async function readVerified(key: string, digest: string): Promise<Buffer> {
    const bytes = await readFile(join(folder, key));
    if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest) {
      throw new Error(`${key} is not what its name says: it was altered or is being written`);
    }
    return bytes;
  }

  return {
    async sync() {
      try {
        await copy();
        problem = '';
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (reason !== problem) onProblem(reason);
        problem = reason;
      }
      return copied?.manifest;
    },
  };
}

function ignoreAbsence(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
