// The embedded model: its manifest is in the Worker's script, its files are static files beside the page, named by digest.
// Each is read once in an isolate, when a part of the model is opened, and nothing of it is kept here.

import { staticFilesOf } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { CoreError } from '../core/errors.ts';
import manifest from '../model/manifest.json';
import { sha256 } from '../registry/digest.ts';
import { reasonOf } from '../registry/follow.ts';
import type { ModelSource } from '../registry/read.ts';

/** The binding of the static files. */
export interface StaticFiles {
  fetch(request: Request): Promise<Response>;
}

/** The host of an address that only the binding sees. */
const HOST = 'https://static.invalid';

export function embeddedModel(files: StaticFiles | undefined): ModelSource {
  return {
    manifest: async () => JSON.parse(manifest),
    read: (artefact) => readStaticFile(files, artefact),
  };
}

/** The manifest travels as text, so that this is the digest of the very file that a registry may hold. */
export const embeddedDigest = (): Promise<string> => sha256(new Uint8Array(new TextEncoder().encode(manifest)));

/** Not verified: `readVerified` is who compares the bytes with their digest. Throws a CoreError that says what to do. */
async function readStaticFile(files: StaticFiles | undefined, artefact: Artefact): Promise<ArrayBuffer> {
  const { path, size } = artefact;
  if (!files) throw unavailable(`this Worker runs without static files, and ${path} is one: bind them as ASSETS`);
  const parts = staticFilesOf(artefact);
  const [only] = parts;
  if (only && parts.length === 1) return readPart(files, { path, key: only.key, size });
  const whole = new Uint8Array(size);
  for (const { key, from, to } of parts) {
    whole.set(new Uint8Array(await readPart(files, { path, key, size: to - from })), from);
  }
  return whole.buffer;
}

async function readPart(files: StaticFiles, part: { path: string; key: string; size: number }): Promise<ArrayBuffer> {
  const { path, key, size } = part;
  const request = new Request(`${HOST}/${key}`);
  const response = await files.fetch(request).catch((error: unknown) => {
    throw unavailable(`the static file of ${path} cannot be read: ${reasonOf(error)}`);
  });
  if (response.status === 404) {
    await response.body?.cancel();
    throw unavailable(`there is no static file ${key}, which is ${path}: deploy again, with the files of this script`);
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw unavailable(`the static file of ${path} was answered with status ${response.status}`);
  }
  const bytes = await response.arrayBuffer();
  if (bytes.byteLength === size) return bytes;
  throw unavailable(
    `the static file ${key}, which is ${path}, has ${bytes.byteLength} bytes, its manifest says ${size}`,
  );
}

function unavailable(reason: string): CoreError {
  return new CoreError('model_unavailable', `The embedded model cannot be opened: ${reason}.`);
}
