// A registry's models as folders on this disk: what the image tower needs, verified, there as a whole or not at all.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { ModelRelease } from '../../contracts/src/model/release.ts';
import type { ModelStore } from './model-store.ts';

/** Undefined where nothing was ever published under that name. */
export async function readPointer(store: ModelStore, name: string): Promise<ModelPointer | undefined> {
  const stream = await store.read(currentKey(name));
  return stream && ModelPointer.parse(JSON.parse((await buffer(stream)).toString()));
}

/** The model that was current before the pointer moved to where it is. */
export async function readPrevious(store: ModelStore, { release }: ModelPointer): Promise<string | undefined> {
  const read = async (digest: string) =>
    ModelRelease.parse(JSON.parse((await readByDigest(store, releaseKey(digest), digest)).toString()));
  const { previous } = await read(release);
  return previous === null ? undefined : (await read(previous)).manifest;
}

export type StoredManifest = { digest: string; bytes: Buffer; manifest: ModelManifest };

export async function readStoredManifest(store: ModelStore, digest: string): Promise<StoredManifest> {
  const bytes = await readByDigest(store, manifestKey(digest), digest);
  return { digest, bytes, manifest: ModelManifest.parse(JSON.parse(bytes.toString())) };
}

/** A folder of `cache` with manifest.json and the image tower's files. */
export async function materialise(store: ModelStore, stored: StoredManifest, cache: string): Promise<string> {
  const folder = join(cache, stored.digest.replace('sha256:', ''));
  if (await exists(folder)) return folder;
  const { file, weights } = stored.manifest.image.graph;
  const incoming = `${folder}.${process.pid}`;
  try {
    await mkdir(incoming, { recursive: true });
    await writeFile(join(incoming, 'manifest.json'), stored.bytes);
    for (const artefact of weights ? [file, weights.file] : [file]) await copy(store, artefact, incoming);
    await rename(incoming, folder);
  } finally {
    await rm(incoming, { recursive: true, force: true });
  }
  return folder;
}

async function copy(store: ModelStore, { path, digest, size }: Artefact, folder: string): Promise<void> {
  if (isAbsolute(path) || normalize(path).startsWith('..')) throw new Error(`${path} is outside of the model's folder`);
  const stream = await store.read(artefactKey(digest));
  if (!stream) throw new Error(`the registry holds no ${artefactKey(digest)} (${path})`);
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true });
  const hash = createHash('sha256');
  let bytes = 0;
  await pipeline(
    stream,
    async function* (parts: AsyncIterable<Buffer>) {
      for await (const part of parts) {
        hash.update(part);
        bytes += part.length;
        yield part;
      }
    },
    createWriteStream(target),
  );
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== digest || bytes !== size) {
    throw new Error(`${path} has ${bytes} bytes of digest ${found}, its manifest says ${size} of ${digest}`);
  }
}

async function readByDigest(store: ModelStore, key: string, digest: string): Promise<Buffer> {
  const stream = await store.read(key);
  if (!stream) throw new Error(`the registry holds no ${key}`);
  const bytes = await buffer(stream);
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (found !== digest) throw new Error(`${key} is not what its name says: its digest is ${found}`);
  return bytes;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
