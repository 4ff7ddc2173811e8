// The files of a model among static files, where they are under their keys in a registry, whole or in parts. For a Worker
// that has them beside its script, and for a browser that reads them from there.

import { PACKED_TOWERS, staticFilesOf } from '../../../contracts/src/keys.ts';
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import type { PackedTowers } from '../../../contracts/src/model/manifest.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { RegistryError } from '../errors.ts';
import type { ModelSource } from '../read.ts';

/** Asks for the static file of that key; resolves to whatever is answered, a refusal included. */
export type FetchStaticFile = (key: string) => Promise<Response>;

/** All throw a RegistryError that says what to do. Place and length are checked; `readVerified` compares bytes with their digest. */
export function staticFileReader(
  fetchFile: FetchStaticFile,
): Required<Pick<ModelSource, 'read' | 'chunks' | 'packed'>> {
  async function* chunks(artefact: Artefact): AsyncGenerator<Uint8Array> {
    const { path } = artefact;
    for (const { key, from, to } of staticFilesOf(artefact)) {
      const response = await answered(fetchFile, { path, key });
      let bytes = 0;
      for await (const chunk of chunksOf(response, to - from)) {
        bytes += chunk.length;
        if (bytes <= to - from) yield chunk;
      }
      if (bytes === to - from) continue;
      throw unavailable(`the static file ${key}, which is ${path}, has ${bytes} bytes, its manifest says ${to - from}`);
    }
  }
  async function read(artefact: Artefact): Promise<ArrayBuffer> {
    const whole = new Uint8Array(artefact.size);
    let at = 0;
    for await (const chunk of chunks(artefact)) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole.buffer;
  }
  async function packed(): Promise<PackedTowers> {
    const response = await reached(fetchFile, { path: 'the packed weights', key: PACKED_TOWERS });
    if (response.ok) return response.json();
    await response.body?.cancel();
    if (response.status === 404) return {};
    throw unavailable(`the static file ${PACKED_TOWERS} was answered with ${response.status}`);
  }
  return { read, chunks, packed };
}

interface Wanted {
  /** As an error names it. */
  path: string;
  key: string;
}

function reached(fetchFile: FetchStaticFile, { path, key }: Wanted): Promise<Response> {
  return fetchFile(key).catch((error: unknown) => {
    throw unavailable(`the static file of ${path} cannot be read: ${reasonOf(error)}`);
  });
}

async function answered(fetchFile: FetchStaticFile, { path, key }: Wanted): Promise<Response> {
  const response = await reached(fetchFile, { path, key });
  if (response.ok) return response;
  await response.body?.cancel();
  if (response.status !== 404) throw unavailable(`the static file of ${path} was answered with ${response.status}`);
  throw unavailable(`there is no static file ${key}, which is ${path}: deploy again, with the files of this script`);
}

/** What is read at a time: chunks as a connection brings them are small, and each of them is a call. */
const CHUNK = 256 * 1024;

/**
 * The bytes of an answer, `expected` of them or more or fewer. A chunk is good until the next is asked for: in workerd one buffer
 * serves for all, where `arrayBuffer()` holds a file twice for a while, and a new isolate pays for each page that it touches.
 */
async function* chunksOf(response: Response, expected: number): AsyncGenerator<Uint8Array> {
  const reader = patientReaderOf(response);
  if (!reader) {
    yield new Uint8Array(await response.arrayBuffer());
    return;
  }
  // One more than expected, so that a file that is too long is noticed.
  let view = new Uint8Array(Math.min(CHUNK, expected + 1));
  for (;;) {
    const { value, done } = await reader.readAtLeast(view.length, view);
    if (value) yield value;
    if (!value || done) return;
    view = new Uint8Array(value.buffer as ArrayBuffer);
  }
}

/** workerd's own, which waits until so many bytes are there. */
function patientReaderOf({ body }: Response): ReadableStreamBYOBReader | undefined {
  const isWorkerd = 'ReadableStreamBYOBReader' in globalThis && 'readAtLeast' in ReadableStreamBYOBReader.prototype;
  return isWorkerd ? body?.getReader({ mode: 'byob' }) : undefined;
}

function unavailable(reason: string): RegistryError {
  return new RegistryError(`The embedded model cannot be opened: ${reason}.`);
}
