// The files of a model among static files, where they are under their keys in a registry, whole or in parts. For a Worker
// that has them beside its script, and for a browser that reads them from there.

import { staticFilesOf } from '../../../contracts/src/keys.ts';
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { RegistryError } from '../errors.ts';
import type { ModelSource } from '../read.ts';

/** Asks for the static file of that key; resolves to whatever is answered, a refusal included. */
export type FetchStaticFile = (key: string) => Promise<Response>;

/** Throws a RegistryError that says what to do. Place and length are checked; `readVerified` compares the bytes with their digest. */
export function staticFileReader(fetchFile: FetchStaticFile): ModelSource['read'] {
  return async function readStaticFile(artefact: Artefact) {
    const { path, size } = artefact;
    const parts = staticFilesOf(artefact);
    const [only] = parts;
    if (only && parts.length === 1) return readPart(fetchFile, { path, key: only.key, size });
    const whole = new Uint8Array(size);
    for (const { key, from, to } of parts) {
      whole.set(new Uint8Array(await readPart(fetchFile, { path, key, size: to - from })), from);
    }
    return whole.buffer;
  };
}

async function readPart(
  fetchFile: FetchStaticFile,
  { path, key, size }: { path: string; key: string; size: number },
): Promise<ArrayBuffer> {
  const response = await fetchFile(key).catch((error: unknown) => {
    throw unavailable(`the static file of ${path} cannot be read: ${reasonOf(error)}`);
  });
  if (!response.ok) {
    await response.body?.cancel();
    if (response.status !== 404) throw unavailable(`the static file of ${path} was answered with ${response.status}`);
    throw unavailable(`there is no static file ${key}, which is ${path}: deploy again, with the files of this script`);
  }
  const bytes = await response.arrayBuffer();
  if (bytes.byteLength === size) return bytes;
  throw unavailable(
    `the static file ${key}, which is ${path}, has ${bytes.byteLength} bytes, its manifest says ${size}`,
  );
}

function unavailable(reason: string): RegistryError {
  return new RegistryError(`The embedded model cannot be opened: ${reason}.`);
}
