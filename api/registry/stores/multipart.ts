// A large object in a bucket: sent in parts that are tried again each, by S3's rules and R2's, and there as a whole or not at all.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { CompletedPart, S3Client } from '@aws-sdk/client-s3';
import { RegistryError } from '../errors.ts';
import type { ObjectBody } from '../store.ts';
import { isTransient, unlessStatus } from './aws-errors.ts';

const MIB = 2 ** 20;
/** R2 wants parts of one size, the last one apart; S3 wants at least 5 MiB, and both take this many. */
const PART_BYTES = 8 * MIB;
const MOST_PARTS = 10_000;
/** R2 takes a little less than 5 TiB; S3 takes more. */
const MOST_BYTES = 5 * 2 ** 40 - 5 * 2 ** 30;
/** Parts in memory at a time: so many, and no more than so many bytes unless a single one has more. */
const IN_FLIGHT = 3;
const IN_FLIGHT_BYTES = 64 * MIB;
/** Of a part, after the tries that the SDK makes within a second; the pauses between them double. */
const TRIES = 5;
const FIRST_PAUSE_MS = 1000;
/** Says whose object it is where the answer to the last call was lost. */
const UPLOAD = 'upload';

export interface Place {
  Bucket: string;
  Key: string;
}

export interface WriteHeaders {
  IfMatch?: string;
  IfNoneMatch?: string;
}

interface Part {
  PartNumber: number;
  Body: Uint8Array;
}

/** Bytes of a part of an object of `size` bytes. Throws a RegistryError where no store would take the object. */
export function partBytes(key: string, size: number): number {
  if (size > MOST_BYTES)
    throw new RegistryError(`${key} has ${size} bytes; one object takes at most ${MOST_BYTES}: split it`);
  return Math.max(PART_BYTES, Math.ceil(size / MOST_PARTS / MIB) * MIB);
}

/** Undefined where the condition does not hold. Where anything fails, what was sent of the object is removed again. */
export async function putInParts(
  client: S3Client,
  place: Place,
  { body, headers }: { body: ObjectBody; headers: WriteHeaders },
): Promise<object | undefined> {
  const sdk = await import('@aws-sdk/client-s3');
  const size = partBytes(place.Key, body.size);
  // Asked before anything is sent. The last call asks again, which is what counts.
  if (await isRefused()) return undefined;
  const mark = randomUUID();
  const create = new sdk.CreateMultipartUploadCommand({ ...place, Metadata: { [UPLOAD]: mark } });
  const { UploadId } = await client.send(create);
  try {
    const Parts = await sendParts();
    const input = { ...place, ...headers, UploadId, MultipartUpload: { Parts } };
    const written = await client.send(new sdk.CompleteMultipartUploadCommand(input)).catch(unlessOurs);
    if (written === undefined) await abort();
    return written;
  } catch (error) {
    await abort();
    throw error;
  }

  async function head() {
    return client.send(new sdk.HeadObjectCommand(place)).catch(unlessStatus(403, 404));
  }
  async function isRefused(): Promise<boolean> {
    const { IfMatch, IfNoneMatch } = headers;
    const found = IfMatch === undefined && IfNoneMatch === undefined ? undefined : await head();
    return found !== undefined && (IfNoneMatch !== undefined || found.ETag !== IfMatch);
  }
  /** The SDK repeats a call whose answer was lost, and is then told that there is no such upload any more, or what it has written itself. */
  async function unlessOurs(error: unknown): Promise<object | undefined> {
    const found = await head().catch(() => undefined);
    if (found?.Metadata?.[UPLOAD] === mark) return {};
    // 412: another object is there; 409: another write of the same key is under way; 404: none is there any more.
    return unlessStatus(...(Object.keys(headers).length === 0 ? [] : [404, 409, 412]))(error);
  }
  /** What cannot be removed now goes by the bucket's rule for uploads that were given up. */
  async function abort(): Promise<void> {
    await client.send(new sdk.AbortMultipartUploadCommand({ ...place, UploadId })).catch(() => {});
  }
  async function sendParts(): Promise<CompletedPart[]> {
    const stop = new AbortController();
    const parts = partsOf(body, size);
    const sent: CompletedPart[] = [];
    let bytes = 0;
    const sendNext = async (): Promise<void> => {
      for (;;) {
        const { value: part } = await parts.next();
        if (part === undefined || stop.signal.aborted) return;
        bytes += part.Body.byteLength;
        const { ETag } = await patiently(() => sendPart(part, stop.signal), stop.signal);
        sent.push({ PartNumber: part.PartNumber, ETag });
      }
    };
    const count = Math.max(1, Math.min(IN_FLIGHT, Math.floor(IN_FLIGHT_BYTES / size)));
    const sending = Array.from({ length: count }, sendNext);
    try {
      await Promise.all(sending);
    } catch (error) {
      stop.abort();
      // A part that arrives after the upload was removed would be stored, and billed.
      await Promise.allSettled(sending);
      await parts.return(undefined);
      throw error;
    }
    if (bytes !== body.size)
      throw new RegistryError(`${place.Key} had ${body.size} bytes and then ${bytes}: it changed while it was written`);
    return sent.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
  }
  /** The part is in memory: the SDK signs its digest, which the store compares. */
  async function sendPart(part: Part, abortSignal: AbortSignal) {
    return client.send(new sdk.UploadPartCommand({ ...place, UploadId, ...part }), { abortSignal });
  }
}

async function patiently<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      if (tries === TRIES || signal.aborted || !isTransient(error)) throw error;
      await pause(FIRST_PAUSE_MS * 2 ** (tries - 1), undefined, { signal });
    }
  }
}

/** Each part is full but the last one. */
async function* partsOf(body: ObjectBody, size: number): AsyncGenerator<Part, undefined> {
  let [PartNumber, at] = [1, 0];
  let part = Buffer.allocUnsafe(size);
  for await (const chunk of body.stream()) {
    for (let from = 0; from < chunk.byteLength; ) {
      const piece = chunk.subarray(from, from + size - at);
      part.set(piece, at);
      from += piece.byteLength;
      at += piece.byteLength;
      if (at < size) continue;
      yield { PartNumber, Body: part };
      PartNumber += 1;
      at = 0;
      part = Buffer.allocUnsafe(size);
    }
  }
  if (at > 0 || PartNumber === 1) yield { PartNumber, Body: part.subarray(0, at) };
  return undefined;
}
