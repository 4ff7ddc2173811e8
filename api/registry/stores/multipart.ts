// A large object in a bucket: sent in parts that are tried again each, by S3's rules and R2's, and there as a whole or not at all.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { RegistryError } from '../errors.ts';
import type { ObjectBody } from '../store.ts';
import { isTransient } from './aws-errors.ts';

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
export interface Part {
  /** From 1 on. */
  number: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** A part as the store knows it. */
export interface SentPart {
  number: number;
  etag: string | undefined;
}

/** The calls by which a store takes one object in parts, under the conditions of its write. */
export interface PartCalls {
  key: string;
  /** Whether the conditions hold now, as far as that can be told. */
  holds(): Promise<boolean>;
  /** Answers the id of the upload; the object keeps the mark. */
  begin(mark: string): Promise<string | undefined>;
  send(upload: string | undefined, part: Part, signal: AbortSignal): Promise<SentPart>;
  /** Makes the object of its parts, in order. Answers whether the conditions held. */
  end(upload: string | undefined, parts: SentPart[]): Promise<boolean>;
  giveUp(upload: string | undefined): Promise<void>;
  /** The mark of the object that is there now. */
  mark(): Promise<string | undefined>;
}

/** Bytes of a part of an object of `size` bytes. Throws a RegistryError where no store would take the object. */
export function partBytes(key: string, size: number): number {
  if (size > MOST_BYTES)
    throw new RegistryError(`${key} has ${size} bytes; one object takes at most ${MOST_BYTES}: split it`);
  return Math.max(PART_BYTES, Math.ceil(size / MOST_PARTS / MIB) * MIB);
}

/** Answers whether the conditions held. Where anything fails, what was sent of the object is removed again. */
export async function putInParts(calls: PartCalls, body: ObjectBody): Promise<boolean> {
  const size = partBytes(calls.key, body.size);
  // Asked before anything is sent. The last call asks again, which is what counts.
  if (!(await calls.holds())) return false;
  const mark = randomUUID();
  const upload = await calls.begin(mark);
  /** The SDK repeats a call whose answer was lost, and is then told that there is no such upload any more, or what it has written itself. */
  const isOurs = async (): Promise<boolean> => (await calls.mark().catch(() => undefined)) === mark;
  try {
    const parts = await sendParts(calls, { upload, body, size });
    if (await calls.end(upload, parts).catch(unless(isOurs))) return true;
    if (await isOurs()) return true;
  } catch (error) {
    await giveUp();
    throw error;
  }
  await giveUp();
  return false;

  /** What cannot be removed now goes by the bucket's rule for uploads that were given up. */
  async function giveUp(): Promise<void> {
    await calls.giveUp(upload).catch(() => {});
  }
}

function unless(holds: () => Promise<boolean>): (error: unknown) => Promise<true> {
  return async function checked(error) {
    if (await holds()) return true;
    throw error;
  };
}

interface Sending {
  upload: string | undefined;
  body: ObjectBody;
  /** Bytes of a part. */
  size: number;
}

async function sendParts(calls: PartCalls, { upload, body, size }: Sending): Promise<SentPart[]> {
  const stop = new AbortController();
  const parts = partsOf(body, size);
  const sent: SentPart[] = [];
  let bytes = 0;
  const sendNext = async (): Promise<void> => {
    for (;;) {
      const { value: part } = await parts.next();
      if (part === undefined || stop.signal.aborted) return;
      bytes += part.bytes.byteLength;
      sent.push(await patiently(() => calls.send(upload, part, stop.signal), stop.signal));
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
    throw new RegistryError(`${calls.key} had ${body.size} bytes and then ${bytes}: it changed while it was written`);
  return sent.sort((a, b) => a.number - b.number);
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
  let [number, at] = [1, 0];
  let bytes = new Uint8Array(size);
  for await (const chunk of body.stream()) {
    for (let from = 0; from < chunk.byteLength; ) {
      const piece = chunk.subarray(from, from + size - at);
      bytes.set(piece, at);
      from += piece.byteLength;
      at += piece.byteLength;
      if (at < size) continue;
      yield { number, bytes };
      number += 1;
      at = 0;
      bytes = new Uint8Array(size);
    }
  }
  if (at > 0 || number === 1) yield { number, bytes: bytes.subarray(0, at) };
  return undefined;
}
