// The seam of object stores: objects by key under one URI, in a folder, an S3 bucket or a Worker's R2 binding.

import { sha256 } from './digest.ts';

/** Bytes that can be written without ever being in memory as a whole. */
export interface ObjectBody {
  readonly size: number;
  stream(): AsyncIterable<Uint8Array>;
}

/** An object as it was when it was found. Its content is read once: by `bytes`, `text`, `stream` or `digest`; what is not read is closed. */
export interface StoredObject extends ObjectBody {
  /** Changes whenever the object does; means nothing else. */
  readonly etag: string;
  /** Where it is as a file of this machine, for programs that read it by themselves; absent: elsewhere. */
  readonly path?: string | undefined;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  /** As UTF-8. */
  text(): Promise<string>;
  /** SHA-256 of the content, as keys write it; a store of large objects computes it from a stream. */
  digest(): Promise<string>;
  /** Ends a content that nobody reads: a bucket's is on its way already, and one of few connections with it. */
  close(): void;
}

/** What readers of a registry need of a store. */
export interface ObjectReader {
  /** `file://`, `s3://` or `r2:`, without a slash at the end: what a key is relative to. */
  readonly uri: string;
  /** Undefined where there is no such object. */
  get(key: string): Promise<StoredObject | undefined>;
  /** Where copies of immutable objects may be, nearer to the reader; absent: nowhere. */
  readonly near?: NearStore | undefined;
}

/** Copies of immutable objects by key. They may go at any time, and each reader compares the digest. */
export interface NearStore {
  /** Undefined where there is no copy, or none that can be read. */
  get(key: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Keeps a copy if it can, later; the bytes are the caller's again at once. */
  put(key: string, bytes: Uint8Array<ArrayBuffer>): void;
}

/** When to write: while the object still has this etag, or while there is none. */
export type Condition = { etag: string } | 'absent';

/** Bytes from one place up to another, which is not among them. */
export interface ByteRange {
  from: number;
  to: number;
}

export interface ObjectStore extends ObjectReader {
  /** Some bytes of an object, at least one; undefined where there is no such object. */
  read(key: string, range: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Writes in one step: a reader sees the old object or the new one. Answers whether `condition` held and it was written. */
  put(key: string, body: Uint8Array | ObjectBody, condition?: Condition): Promise<boolean>;
  /** Objects below a prefix, sorted by key; all of them where no page is asked for. */
  list(prefix: string, page?: Page): Promise<Listed[]>;
}

export interface Listed {
  key: string;
  size: number;
}

/** A part of a listing. */
export interface Page {
  /** Keys behind this one, which need not be there. */
  after?: string | undefined;
  /** Not more than so many. */
  most?: number | undefined;
  /**
   * Also names that `get` finds nothing under, with a size of 0: in a folder, links that lead nowhere or to a folder, and names that are
   * not UTF-8. Absent: they are passed over.
   */
  unreadable?: true;
}

/** A document as every object of ours holds it. */
export function encodeDocument(document: object): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(`${JSON.stringify(document, undefined, 2)}\n`));
}

/** For stores that are asked by HTTP. */
export const rangeHeader = ({ from, to }: ByteRange): string => `bytes=${from}-${to - 1}`;

/** For stores: the object whose content comes from these functions. */
export function storedObject(
  parts: Pick<StoredObject, 'size' | 'etag' | 'path' | 'stream'> &
    Partial<Pick<StoredObject, 'bytes' | 'digest' | 'close'>>,
): StoredObject {
  const bytes = parts.bytes ?? (() => collect(parts.stream(), parts.size));
  return {
    ...parts,
    bytes,
    text: async () => new TextDecoder().decode(await bytes()),
    digest: parts.digest ?? (async () => sha256(await bytes())),
    close: parts.close ?? (() => {}),
  };
}

/** For stores of few bytes: an object that is in memory already. */
export function objectOf(content: Uint8Array, etag = ''): StoredObject {
  async function* stream() {
    yield content;
  }
  return storedObject({ size: content.byteLength, etag, stream });
}

/** The bytes of a body that has to be in memory as a whole. */
export async function bytesOf(body: Uint8Array | ObjectBody): Promise<Uint8Array<ArrayBuffer>> {
  return body instanceof Uint8Array ? Uint8Array.from(body) : collect(body.stream(), body.size);
}

async function collect(stream: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of stream) {
    parts.push(part);
    length += part.byteLength;
  }
  // The size may be that of an older object by now: the content decides.
  const bytes = new Uint8Array(length === size ? size : length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

export interface Waiting {
  /** For each piece. Whoever reads may take any time: only the store is waited for. */
  ms: number;
  /** Gives the connection up, and says why. */
  late(): Error;
}

/** The pieces of a content; throws what `late` says where one does not come in time. */
export async function* inTime(stream: AsyncIterable<Uint8Array>, waiting: Waiting): AsyncGenerator<Uint8Array> {
  const pieces = stream[Symbol.asyncIterator]();
  let isLate = false;
  try {
    for (;;) {
      isLate = true;
      const next = await within(pieces.next(), waiting);
      isLate = false;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // A stream ends what it reads behind the piece that it waits for.
    const closing = Promise.resolve(pieces.return?.()).catch(() => {});
    if (!isLate) await closing;
  }
}

function within<T>(promise: Promise<T>, { ms, late }: Waiting): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
