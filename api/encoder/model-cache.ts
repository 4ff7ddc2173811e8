// Published models as folders on this disk: what the image tower needs, verified, there as a whole or not at all.

import { createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { artefactKey, FILES, hexOf } from '../../contracts/src/keys.ts';
import { type Artefact, artefactsIn } from '../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { find } from '../registry/read.ts';
import type { ObjectReader } from '../registry/store.ts';
import { verifying } from '../registry/stores/hash.ts';

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

async function downloadFiles(
  registry: ObjectReader,
  stored: StoredManifest,
  { cache, files }: { cache: string; files: Artefact[] },
): Promise<string> {
  const folder = join(cache, hexOf(stored.digest));
  if (await exists(folder)) return folder;
  const incoming = `${folder}.${process.pid}`;
  try {
    await mkdir(incoming, { recursive: true });
    await writeFile(join(incoming, FILES.manifest), stored.bytes);
    for (const artefact of files) await copy(registry, artefact, incoming);
    // Another process may have been faster: its files are the same.
    await rename(incoming, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(incoming, { recursive: true, force: true });
  }
  return folder;
}

async function copy(registry: ObjectReader, artefact: Artefact, folder: string): Promise<void> {
  const { path, digest } = artefact;
  if (isAbsolute(path) || normalize(path).startsWith('..')) throw new Error(`${path} is outside of the model's folder`);
  const object = await find(registry, artefactKey(digest));
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true });
  await pipeline(verifying(object.stream(), artefact), createWriteStream(target));
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
