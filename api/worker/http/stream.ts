// A request's body as chunks: counted, in time, decompressed, and the rest of what a refusal left unread.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { CoreError, shortened } from '../../core/errors.ts';

/** Between two chunks. */
const IDLE_MS = 10_000;
/** For the whole body; a body that comes at this pace or faster may take longer. */
const TOTAL_MS = 30_000;
const LEAST_BYTES_PER_MS = 32;
/** How long the rest of a refused body is waited for. */
const REST_MS = 5_000;
/** Deflate unfolds a thousandfold at most: a slice of this size becomes 8 MiB at once and no more. */
const SLICE_BYTES = 8 * 1024;
type Compression = 'gzip' | 'deflate';
/** What is read of each: others take more of what goes by the same name. */
const FORMS: Record<Compression, string> = { gzip: 'gzip in one part', deflate: 'deflate in its frame (zlib)' };
const ENCODINGS = new Map<string, Compression>([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
]);

/** The chunks of a body, decompressed where Content-Encoding says so. Throws `CoreError` beyond a limit. */
export function chunksOf(request: Request): AsyncIterable<Uint8Array> {
  // Content-Length may be absent or a lie, so what really arrives is counted too.
  const declared = Number(request.headers.get('content-length') ?? Number.NaN);
  if (declared > LIMITS.body_bytes) throw tooLarge(declared, 'bytes');
  const named = (request.headers.get('content-encoding') ?? '').trim().toLowerCase();
  const sent = arriving(request, declared);
  if (named === '' || named === 'identity') return sent;
  const format = ENCODINGS.get(named);
  if (!format) {
    const message = `The Content-Encoding ${shortened(named)} is not read here: send the body as it is, or as gzip or deflate.`;
    throw new CoreError('unsupported_media_type', message);
  }
  return counted(decompressed(sent, { format, named }), `bytes when its ${named} is undone`);
}

async function* counted(chunks: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > LIMITS.body_bytes) throw tooLarge(size, what);
    yield chunk;
  }
}

function tooLarge(size: number, what: string): CoreError {
  const message = `The body may have ${LIMITS.body_bytes} bytes; ${size} or more were sent (${what}).`;
  return new CoreError('body_too_large', message.replace(' (bytes)', ''));
}

const END = { done: true, value: undefined } as const;

/**
 * What arrives, in time. Where this ends early, the rest can still be read. No generator: most bodies are one chunk, and
 * its steps take longer than reading it. `declared`: bytes by Content-Length; behind them nothing is waited for.
 */
function arriving(request: Request, declared: number): AsyncIterable<Uint8Array> {
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = request.body?.getReader();
  const started = Date.now();
  let size = 0;
  async function next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!reader || size === declared) return END;
    const left = TOTAL_MS + size / LEAST_BYTES_PER_MS - (Date.now() - started);
    const read = await within(reader.read(), Math.min(IDLE_MS, left)).catch(brokenOff);
    if (read === 'late') {
      giveUp(reader);
      throw tooSlow(size, Date.now() - started);
    }
    if (read.done) return END;
    size += read.value.length;
    if (size > LIMITS.body_bytes) {
      reader.releaseLock();
      throw tooLarge(size, 'bytes');
    }
    return read;
  }
  /** Where chunks are no longer asked for. What was read to its end keeps its lock, which takes long to release. */
  async function stop(): Promise<typeof END> {
    reader?.releaseLock();
    return END;
  }
  return { [Symbol.asyncIterator]: () => ({ next, return: stop }) };
}

/** While a read is outstanding workerd refuses to release the lock: it stays, and this body is not read again. */
function giveUp(reader: ReadableStreamDefaultReader<Uint8Array>): void {
  reader.cancel().catch(() => {});
}

function brokenOff(): never {
  throw new CoreError('invalid_request', 'The connection broke off before the end of the body.');
}

function tooSlow(size: number, ms: number): CoreError {
  const message =
    `The body did not come in time: ${size} bytes in ${Math.round(ms / 1000)} s. It may pause for ${IDLE_MS / 1000} s and ` +
    `take ${TOTAL_MS / 1000} s, or longer at ${LEAST_BYTES_PER_MS} kB a second or more. Send it again.`;
  return new CoreError('body_timeout', message);
}

function within<T>(promise: Promise<T>, ms: number): Promise<T | 'late'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.max(0, ms), 'late');
    const settle =
      <V>(how: (value: V) => void) =>
      (value: V) => {
        clearTimeout(timer);
        how(value);
      };
    promise.then(settle(resolve), settle(reject));
  });
}

async function* decompressed(
  chunks: AsyncIterable<Uint8Array>,
  { format, named }: { format: Compression; named: string },
): AsyncGenerator<Uint8Array> {
  const { readable, writable } = new DecompressionStream(format);
  const reader: ReadableStreamDefaultReader<Uint8Array> = readable.getReader();
  const writer = writable.getWriter();
  // What went wrong with the body itself comes first: a stream that was aborted says less.
  let fault: unknown;
  const feeding = feed(chunks, writer).catch((error: unknown) => {
    fault = error;
    return writer.abort(error).catch(() => {});
  });
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
    await feeding;
    if (fault) throw fault;
  } catch (error) {
    if (error instanceof CoreError) throw error;
    await feeding;
    if (fault instanceof CoreError) throw fault;
    throw new CoreError(
      'invalid_request',
      `The body is not ${FORMS[format]}, or is cut off; its Content-Encoding says ${named}.`,
    );
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function feed(chunks: AsyncIterable<Uint8Array>, writer: WritableStreamDefaultWriter<Uint8Array>) {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) await writer.write(chunk.subarray(at, at + SLICE_BYTES));
  }
  await writer.close();
}

/**
 * Reads what a refusal left unread, up to as much again as a body may have. An answer before the body's end makes the
 * server close the connection under a client that is still sending, which then sees a broken pipe and no answer.
 */
export async function discardRest(request: Request): Promise<void> {
  if (!request.body || request.body.locked) return;
  const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
  const ends = Date.now() + REST_MS;
  let left: number = LIMITS.body_bytes;
  try {
    while (left > 0) {
      const read = await within(reader.read(), ends - Date.now());
      if (read === 'late') return giveUp(reader);
      if (read.done) break;
      left -= read.value.length;
    }
    reader.releaseLock();
  } catch {
    // The client has gone.
  }
}
