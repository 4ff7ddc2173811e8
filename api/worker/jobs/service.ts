// The service of bulk jobs inside the Worker: what it keeps is in a bucket, what it has to do is done by AWS Batch.
import { headOf } from '../../../contracts/src/api/download.ts';
import { bulkFolder, UPLOADED_FILES, uploadFolders } from '../../../contracts/src/keys.ts';
import type { CurrentModel } from '../../bulk/service/ask.ts';
import { openJobFolder } from '../../bulk/service/folder.ts';
import { isBelow } from '../../bulk/service/inputs.ts';
import { answer, askedIn, type BulkService, createBulkService } from '../../bulk/service/routes.ts';
import type { Owner } from '../../bulk/service/states.ts';
import { type Send, tellOfEnd } from '../../bulk/service/webhook.ts';
import { withoutTrailing } from '../../core/validation/trailing.ts';
import type { ObjectStore } from '../../registry/store.ts';
import type { BatchClient } from './batch.ts';
import { createBatchRunner } from './runner.ts';

export interface BatchServiceOptions {
  store: ObjectStore;
  batch: BatchClient;
  current(): Promise<CurrentModel>;
  /** Lets work go on when the request that began it is answered: `waitUntil`. */
  background(work: Promise<void>): void;
}

/** Behind an answer a Worker has half a minute. */
const PAUSES_MS = [2_000, 8_000];
/** The platform's, which wants to be called as its own. */
const send: Send = (url, init) => fetch(url, init);

/** What the Worker's schedule asks for, every few minutes. */
export const tellLate = (service: Pick<BulkService, 'tellOverdue'>): Promise<void> => service.tellOverdue({ send });

export function createBatchService({ store, batch, current, background }: BatchServiceOptions): BulkService {
  const open = (id: string) => openJobFolder(store, bulkFolder(id));
  const runner = createBatchRunner({
    open,
    openPlace: (uri) => below(store, uri),
    batch,
  });
  const places = (owner: Owner) => uploadFolders(owner).map((folder) => `${store.uri}/${folder}`);
  // Lines may name files that were sent by POST /v1/uploads, too, by digests that only their senders know.
  const sources = (owner: Owner) => [`${store.uri}/${UPLOADED_FILES}`, ...places(owner)];
  const onEnd = (id: string) => {
    const telling = tellOfEnd(open(id), { send, pausesMs: PAUSES_MS });
    background(telling.then(() => {}));
  };
  const onProblem = (reason: string) => console.error(JSON.stringify({ event: 'document_unreadable', reason }));
  return createBulkService({ store, runner, places, sources, current, onEnd, onProblem });
}

/** A prefix of the store as a store of its own: inputs of these jobs are nowhere else. */
function below(store: ObjectStore, uri: string): ObjectStore {
  if (!isBelow(uri, store.uri)) throw new TypeError(`${uri} is not in ${store.uri}`);
  // A person's prefix may end with a slash, which would be another key than theirs.
  const inside = withoutTrailing(uri.slice(store.uri.length + 1), '/');
  const root = inside === '' ? '' : `${inside}/`;
  return {
    uri,
    get: (key) => store.get(root + key),
    read: (key, range) => store.read(root + key, range),
    put: (key, body, condition) => store.put(root + key, body, condition),
    async list(prefix, { after, most } = {}) {
      const found = await store.list(root + prefix, { after: after === undefined ? undefined : root + after, most });
      return found.map(({ key, size }) => ({ key: key.slice(root.length), size }));
    },
  };
}

/** As a service of another process would answer; errors are thrown. */
export function askHere(service: BulkService): (path: string, init: RequestInit) => Promise<Response> {
  return async function ask(path, init) {
    const request = new Request(new URL(path, 'http://jobs'), init);
    const asked = askedIn({
      method: request.method,
      url: request.url,
      headerOf: (name) => request.headers.get(name),
      body: async () => new Uint8Array(await request.arrayBuffer()),
    });
    const found = await answer(service, asked);
    if ('json' in found)
      return Response.json(found.json, { status: found.isNew ? 201 : 200, headers: found.headers ?? {} });
    const { status, headers } = headOf(found);
    const { stream } = found;
    return new Response(stream ? ofLength(streamOf(stream), Number(headers['Content-Length'])) : null, {
      status,
      headers,
    });
  };
}

/** The platform tells only the length of a stream that is held to one. */
function ofLength(stream: ReadableStream<Uint8Array>, bytes: number): ReadableStream<Uint8Array> {
  const { readable, writable } = new FixedLengthStream(bytes);
  // Who reads is told by the stream itself.
  stream.pipeTo(writable).catch(() => {});
  return readable;
}

function streamOf(parts: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = parts[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
