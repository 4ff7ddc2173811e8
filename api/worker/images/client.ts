// Client of one image encoder: files in, unit vectors of full length out, within one deadline for the whole request.

import { CALL_IMAGES, type EncodeStaged } from '../../../contracts/src/api/encode.ts';
import type { EncodedFile, ImageEncoder, ImageOptions, Space } from '../../core/embed.ts';
import { sha256Hex } from '../../core/encode/digest.ts';
import type { Standing } from '../../core/encode/routing.ts';
import { CoreError } from '../../core/errors.ts';
import { FRAME_TYPE, writeFrame } from '../../core/images/frame.ts';
import { fromBase64 } from '../../core/vectors/base64.ts';
import type { Fetch } from '../aws/signed-fetch.ts';
import type { Uploads } from '../aws/uploads.ts';
import { sleep } from '../isolate/lease.ts';
import { type Answer, readAnswer, unavailable } from './answer.ts';
import { type Breaker, createBreaker, createRetryBudget, type RetryBudget } from './breaker.ts';

/** Files share a call up to this many bytes and CALL_IMAGES images; the calls of a request run beside each other, CALLS at a time. */
const CALL_BYTES = 3_000_000;
const CALLS = 3;
/** A second try comes at a random time within this, so that those of many requests do not come together. */
const RETRY_MS = 400;
/** No answer is longer: a vector as base64, or a sentence, for each image. */
const ANSWER_BYTES = 1024 * 1024;

export interface ImageClientOptions {
  /** What the encoder's platform takes in a call; absent: no limit of its own. */
  maxBytes?: number | undefined;
  /** Takes what is larger than that to the encoder by another way; absent: it is refused. */
  uploads?: Pick<Uploads, 'put'> | undefined;
  /** Sends a call; another one than the runtime's own signs it. */
  send?: Fetch | undefined;
}

/** For all that a request asks of an encoder. */
export interface Due {
  deadlineMs: number;
  /** Less than an encoder is given: one that does not answer within it has not failed. */
  isShort: boolean;
}

/** One of the encoders of a deployment. */
export interface ImageBackend {
  encode(files: Uint8Array[], space: Space, options: ImageOptions & Due): Promise<(EncodedFile | CoreError)[]>;
  /** Whether it would be asked now. */
  standing(): Standing;
}

interface Client {
  url: string;
  maxBytes: number;
  uploads: Pick<Uploads, 'put'> | undefined;
  send: Fetch;
  breaker: Breaker;
  budget: RetryBudget;
}

export function createImageBackend(url: string, options: ImageClientOptions = {}): ImageBackend {
  const { maxBytes = Infinity, uploads, send = (address, init) => fetch(address, init) } = options;
  const breaker = createBreaker();
  const client: Client = { url: `${url}/encode`, maxBytes, uploads, send, breaker, budget: createRetryBudget() };
  return {
    encode: (files, space, options) => encodeFiles(client, files, { space, ...options }),
    standing: () => breaker.pausesFor() ?? 'ready',
  };
}

/** A white GIF of one pixel. */
const PIXEL = fromBase64('R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=');

/**
 * Rejects unless an image of that space is encoded. An image and not a question after the encoder's health: of a function
 * in many copies each has to find the space, and this is what makes the one that answers look for it.
 */
export async function probeImageEncoder(encode: ImageEncoder, space: Space): Promise<void> {
  const [result] = await encode([PIXEL], space);
  if (result instanceof CoreError) throw result;
}

/** What the calls of one request share. */
interface Errand extends Due {
  client: Client;
  space: Space;
  /** Headers of every call. */
  trace: Readonly<Record<string, string>>;
  ends: number;
  /** Aborts at the deadline, and when another call of the request has failed. */
  signal: AbortSignal;
  hasRetried: boolean;
}

type Asked = Pick<ImageOptions, 'onError' | 'trace'> & Due & { space: Space };

async function encodeFiles(
  client: Client,
  files: Uint8Array[],
  { space, onError, trace = {}, deadlineMs, isShort }: Asked,
): Promise<(EncodedFile | CoreError)[]> {
  const results: (EncodedFile | CoreError | undefined)[] = files.map((file) =>
    file.length > client.maxBytes && !client.uploads ? tooLarge(file.length, client.maxBytes) : undefined,
  );
  let failure: unknown;
  try {
    await encodeInto(results, { client, files, space, onError, trace, deadlineMs, isShort });
  } catch (error) {
    failure = error;
  }
  if (failure && (onError === 'fail' || !(failure instanceof CoreError))) throw failure;
  const missing = failure instanceof CoreError ? failure : unavailable('it left out an image');
  return results.map((result) => result ?? missing);
}

/** Fills the places that are empty. */
async function encodeInto(
  results: (EncodedFile | CoreError | undefined)[],
  {
    client,
    files,
    space,
    onError,
    trace,
    deadlineMs,
    isShort,
  }: Required<Asked> & { client: Client; files: Uint8Array[] },
): Promise<void> {
  const groups = groupsOf(files, client);
  if (groups.length === 0) return;
  const seconds = client.breaker.refusal();
  if (seconds !== undefined) throw unavailable('it failed several times in a row and is given a pause', seconds);
  client.budget.earn();
  const stop = new AbortController();
  const signal = AbortSignal.any([AbortSignal.timeout(deadlineMs), stop.signal]);
  const ends = Date.now() + deadlineMs;
  const errand: Errand = { client, space, trace, ends, deadlineMs, isShort, signal, hasRetried: false };
  const next = groups.values();
  const work = async () => {
    for (const group of next) {
      const encoded = await encodeGroup(
        errand,
        group.map((index) => files[index] ?? PIXEL),
      );
      group.forEach((index, place) => {
        results[index] = encoded[place];
      });
    }
  };
  const calls = Array.from({ length: Math.min(CALLS, groups.length) }, async () => {
    try {
      await work();
    } catch (error) {
      // What fails once is not tried for the rest: each try may wait for as long. Calls under way go on for `partial`.
      while (!next.next().done);
      if (onError === 'fail') stop.abort();
      throw error;
    }
  });
  if (onError === 'partial') await Promise.allSettled(calls);
  await Promise.all(calls);
}

/** Places of the files that a call carries; a file that no call can carry is alone in one that names it, or in none. */
function groupsOf(files: Uint8Array[], { maxBytes, uploads }: Pick<Client, 'maxBytes' | 'uploads'>): number[][] {
  const groups: number[][] = [];
  let room = 0;
  files.forEach(({ length }, index) => {
    if (length > maxBytes) {
      if (uploads) groups.push([index]);
      room = 0;
      return;
    }
    const last = groups.at(-1);
    if (last && last.length < CALL_IMAGES && length <= room) last.push(index);
    else {
      groups.push([index]);
      room = Math.min(CALL_BYTES, maxBytes);
    }
    room -= length;
  });
  return groups;
}

async function encodeGroup(errand: Errand, files: Uint8Array[]): Promise<(EncodedFile | CoreError)[]> {
  const { breaker } = errand.client;
  try {
    const digests = await Promise.all(files.map(async (file) => `sha256:${await sha256Hex(file)}`));
    const answer = await ask(errand, await bodyOf(errand, files, digests));
    if (answer.status === 413) return files.map(({ length }) => tooLarge(length));
    const results = readAnswer(answer, { digests, space: errand.space });
    breaker.succeeded();
    return results;
  } catch (error) {
    // An encoder that is busy, or was stopped by us or had to be faster than it is asked to be, has not failed.
    const code = error instanceof CoreError ? error.code : undefined;
    if (code === 'overloaded') breaker.succeeded();
    else if (code === 'encoder_timeout' && errand.isShort) breaker.ended();
    else if (!(error instanceof Stopped)) breaker.failed();
    throw error;
  }
}

interface Body {
  type: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** The files themselves, or the digest of the one that is staged. */
async function bodyOf(errand: Errand, files: Uint8Array[], digests: string[]): Promise<Body> {
  const { client, space, signal } = errand;
  const [file, ...others] = files;
  const { uploads, maxBytes } = client;
  if (!uploads || !file || others.length > 0 || file.length <= maxBytes)
    return { type: FRAME_TYPE, bytes: writeFrame(space.id, files) };
  await uploads.put(digests[0] ?? '', file, signal).catch((error) => {
    throw failureOf(errand, error);
  });
  const named: EncodeStaged = { space_id: space.id, staged: digests };
  return {
    type: 'application/json',
    bytes: new Uint8Array(new TextEncoder().encode(JSON.stringify(named))),
  };
}

/** Another call of the same request has failed, whose error is the one that is told. */
class Stopped extends Error {}

/** One try, and at most one more for the whole request, where the encoder did not answer or something before it did. */
async function ask(errand: Errand, body: Body): Promise<Answer> {
  const first = await send(errand, body);
  const isWorthIt =
    first instanceof CoreError ? first.code === 'encoder_unavailable' : [502, 503, 504].includes(first.status);
  const pauseMs = Math.random() * RETRY_MS;
  const mayRetry =
    isWorthIt && !errand.hasRetried && Date.now() + pauseMs < errand.ends && errand.client.budget.spend();
  if (mayRetry) errand.hasRetried = true;
  if (mayRetry) await sleep(pauseMs);
  const answer = mayRetry ? await send(errand, body) : first;
  if (answer instanceof CoreError) throw answer;
  return answer;
}

async function send(errand: Errand, { type, bytes }: Body): Promise<Answer | CoreError> {
  const { client, signal, trace } = errand;
  try {
    const response = await client.send(client.url, {
      method: 'POST',
      headers: { ...trace, 'content-type': type },
      body: bytes,
      signal,
    });
    return {
      status: response.status,
      text: await readText(response),
      retryAfter: response.headers.get('retry-after'),
    };
  } catch (error) {
    const failure = failureOf(errand, error);
    if (failure instanceof Stopped) throw failure;
    return failure;
  }
}

/** What became of the encoder, or of what stages files for it. */
function failureOf({ signal, deadlineMs }: Errand, error: unknown): CoreError | Stopped {
  if (error instanceof CoreError) return error;
  if (!signal.aborted) return unavailable('it cannot be reached');
  if (!isTimeout(signal.reason)) return new Stopped();
  const message = `The image encoder did not answer within ${deadlineMs / 1000} seconds. Texts still work.`;
  return new CoreError('encoder_timeout', message, { retryAfterSeconds: 5 });
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, size] = ['', 0];
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > ANSWER_BYTES) break;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** `most`: what a call may carry, where that is known. */
function tooLarge(bytes: number, most?: number): CoreError {
  const has = `the file has ${bytes.toLocaleString('en-US')} bytes`;
  const limit =
    most === undefined
      ? 'more than the image encoder takes'
      : `the image encoder takes ${most.toLocaleString('en-US')}`;
  return new CoreError('image_too_large', `${has}, ${limit}: send it smaller, for example as a JPEG of 2,000 pixels.`);
}
