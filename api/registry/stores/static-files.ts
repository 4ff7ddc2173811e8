// The files of a model among static files, where they are under their keys in a registry, whole or in parts. For a Worker
// that has them beside its script, and for a browser that reads them from there.

import { PACKED_MODEL } from '../../../contracts/src/keys.ts';
import type { Artefact, FilePart } from '../../../contracts/src/model/artefact.ts';
import type { StaticFile } from '../../../contracts/src/model/static-files.ts';
import type { PackedModel } from '../../../contracts/src/model/towers.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { RegistryError } from '../errors.ts';
import type { ModelSource } from '../read.ts';

/** Asks for the static file of that key; resolves to whatever is answered, a refusal included. */
export type FetchStaticFile = (key: string) => Promise<Response>;

export type StaticSource = Required<Pick<ModelSource, 'read' | 'chunks' | 'parts' | 'packed'>>;

/**
 * `filesOf`: where a file of the model is. All throw a RegistryError that says what to do. Place and length are checked; `readVerified`
 * compares bytes with their digest.
 */
export function staticFileReader(
  fetchFile: FetchStaticFile,
  filesOf: (artefact: Artefact) => StaticFile[],
): StaticSource {
  async function* chunksIn(path: string, { key, from, to }: StaticFile): AsyncGenerator<Uint8Array> {
    const response = await answered(fetchFile, { path, key });
    let bytes = 0;
    for await (const chunk of chunksOf(response, to - from)) {
      bytes += chunk.length;
      if (bytes <= to - from) yield chunk;
    }
    if (bytes === to - from) return;
    throw unavailable(`the static file ${key}, which is ${path}, has ${bytes} bytes, its manifest says ${to - from}`);
  }
  async function* chunks(artefact: Artefact): AsyncGenerator<Uint8Array> {
    for (const file of filesOf(artefact)) yield* chunksIn(artefact.path, file);
  }
  async function fill(target: Uint8Array, path: string, file: StaticFile): Promise<void> {
    let at = 0;
    for await (const chunk of chunksIn(path, file)) {
      target.set(chunk, at);
      at += chunk.length;
    }
  }
  async function read(artefact: Artefact): Promise<ArrayBuffer> {
    const whole = new Uint8Array(artefact.size);
    const files = filesOf(artefact);
    await Promise.all(files.map((file) => fill(whole.subarray(file.from, file.to), artefact.path, file)));
    return whole.buffer;
  }
  const parts = (artefact: Artefact): FilePart[] =>
    filesOf(artefact).map((file) => ({
      from: file.from,
      to: file.to,
      async read() {
        const bytes = new Uint8Array(file.to - file.from);
        await fill(bytes, artefact.path, file);
        return bytes.buffer;
      },
    }));
  async function packed(): Promise<PackedModel> {
    const response = await reached(fetchFile, { path: 'packed weights', key: PACKED_MODEL });
    if (response.ok) return response.json();
    await response.body?.cancel();
    if (response.status === 404) return {};
    throw unavailable(`the static file ${PACKED_MODEL} was answered with ${response.status}`);
  }
  return { read, chunks, parts, packed };
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

/** workerd's own reader, which can wait until a buffer is full. */
function patientReaderOf({ body }: Response): ReadableStreamBYOBReader | undefined {
  const isWorkerd = 'ReadableStreamBYOBReader' in globalThis && 'readAtLeast' in ReadableStreamBYOBReader.prototype;
  return isWorkerd ? body?.getReader({ mode: 'byob' }) : undefined;
}

function unavailable(reason: string): RegistryError {
  return new RegistryError(`The embedded model cannot be opened: ${reason}.`);
}
