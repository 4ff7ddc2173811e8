// Published models as folders on this disk: what the image tower needs, verified, there as a whole or not at all, and made whole again.

import { createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { artefactKey, FILES, hexOf } from '../../contracts/src/keys.ts';
import { type Artefact, artefactsIn } from '../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { find } from '../registry/read.ts';
import type { ObjectReader } from '../registry/store.ts';
import { digestOfFile, verifying } from '../registry/stores/hash.ts';
import { removeLeft, temporaryOf } from '../registry/stores/processes.ts';

/** A manifest with the file that it was read from. */
export interface StoredManifest {
  digest: string;
  bytes: Uint8Array;
  manifest: ModelManifest;
}

/** A folder of `cache` with manifest.json and the image tower's files. */
export function download(registry: ObjectReader, stored: StoredManifest, cache: string): Promise<string> {
  const { file, weights } = stored.manifest.image.graph;
  return downloadFiles(registry, stored, { cache, files: weights ? [file, weights.file] : [file] });
}

/** A folder of `cache` with manifest.json and all that it names. */
export function downloadWhole(registry: ObjectReader, stored: StoredManifest, cache: string): Promise<string> {
  return downloadFiles(registry, stored, { cache, files: artefactsIn(stored.manifest) });
}

interface Wanted {
  folder: string;
  files: Artefact[];
}

async function downloadFiles(
  registry: ObjectReader,
  stored: StoredManifest,
  { cache, files }: { cache: string; files: Artefact[] },
): Promise<string> {
  const folder = join(cache, hexOf(stored.digest));
  removeLeft(cache);
  // A cleaner of old files, a full disk or a person may have left a hole in it.
  if (await exists(folder)) {
    await complete(registry, stored, { folder, files });
    return folder;
  }
  const incoming = temporaryOf(folder);
  try {
    await complete(registry, stored, { folder: incoming, files });
    // Another process may have been faster: its files are the same.
    await rename(incoming, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(incoming, { recursive: true, force: true });
  }
  return folder;
}

/** Fetches what is missing or is not what the manifest says, and writes the manifest last. */
async function complete(registry: ObjectReader, stored: StoredManifest, { folder, files }: Wanted): Promise<void> {
  for (const artefact of files) {
    const { path, digest, size } = artefact;
    if (isAbsolute(path) || normalize(path).startsWith('..'))
      throw new Error(`${path} is outside of the model's folder`);
    const target = join(folder, path);
    if (await holds(target, { digest, size })) continue;
    const object = await find(registry, artefactKey(digest));
    await replace(target, verifying(object.stream(), artefact));
  }
  const target = join(folder, FILES.manifest);
  const manifest = { digest: stored.digest, size: stored.bytes.byteLength };
  if (!(await holds(target, manifest))) await replace(target, [stored.bytes]);
}

async function holds(file: string, { digest, size }: Pick<Artefact, 'digest' | 'size'>): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found?.isFile() === true && found.size === size && (await digestOfFile(file)) === digest;
}

/** In one step, as a new file: the one of before may be open, or be one with a file of the registry by a hard link. */
async function replace(file: string, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = temporaryOf(file);
  try {
    await pipeline(content, createWriteStream(temporary));
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
