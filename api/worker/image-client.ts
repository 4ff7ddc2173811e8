// Client of the image encoder: files in, unit vectors of full length out; they travel as base64 in JSON.
import { type EncodeRequest, EncodeResponse, type EncodeResult } from '../../contracts/src/api/encode.ts';
import { ErrorBody } from '../../contracts/src/api/error.ts';
import type { ImageEncoder, Space } from '../core/embed.ts';
import { CoreError } from '../core/errors.ts';
import { fromBase64, toBase64 } from '../core/vectors/base64.ts';
import { fromFloat32Bytes } from '../core/vectors/vectors.ts';
import type { Fetch } from './signed-fetch.ts';

const TIMEOUT_MS = 30_000;
/** A call carries at most this many base64 characters (but at least one image): Lambda takes 6 MB a call. */
const CALL_CHARS = 4_000_000;
const CALL_IMAGES = 8;

export interface ImageEncoderOptions {
  timeoutMs?: number;
  /** Sends a call; another one than the runtime's own signs it. */
  send?: Fetch;
}

/** `url` undefined: this deployment has no image encoder. */
export function createImageEncoder(
  url: string | undefined,
  { timeoutMs = TIMEOUT_MS, send = (address, init) => fetch(address, init) }: ImageEncoderOptions = {},
): ImageEncoder {
  return async function encodeImages(files, space, { onError } = { onError: 'fail' }) {
    const results: (Float32Array | CoreError)[] = [];
    try {
      if (!url) throw unavailable('no image encoder is configured (ENCODER_URL)');
      for (const group of callsOf(files)) {
        results.push(...(await call(group, space, { url: `${url}/encode`, timeoutMs, send })));
        // The request is refused for a single bad file, so the files after it need not be encoded.
        if (onError === 'fail' && results.some((result) => result instanceof CoreError)) break;
      }
      return results;
    } catch (error) {
      if (onError === 'fail' || !(error instanceof CoreError)) throw error;
      // What fails once is not tried for the rest: each try may wait for as long.
      return [...results, ...files.slice(results.length).map(() => error)];
    }
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

function callsOf(files: Uint8Array[]): Uint8Array[][] {
  const calls: Uint8Array[][] = [];
  let room = 0;
  for (const file of files) {
    const chars = 4 * Math.ceil(file.length / 3);
    const last = calls.at(-1);
    if (last && last.length < CALL_IMAGES && chars <= room) last.push(file);
    else {
      calls.push([file]);
      room = CALL_CHARS;
    }
    room -= chars;
  }
  return calls;
}

async function call(
  files: Uint8Array[],
  space: Space,
  options: Required<ImageEncoderOptions> & { url: string },
): Promise<(Float32Array | CoreError)[]> {
  const request = { space_id: space.id, images: files.map(toBase64) };
  const { results, space_id } = readAnswer(await post(request, options));
  if (space_id === space.id && results.length === files.length) {
    return results.map((result) => readResult(result, space.embedDim));
  }
  const message = `The image encoder answered ${results.length} results of space ${space_id}.`;
  throw new CoreError('encoder_error', message);
}

interface Answer {
  status: number;
  text: string;
}

async function post(
  request: EncodeRequest,
  { url, timeoutMs, send }: Required<ImageEncoderOptions> & { url: string },
): Promise<Answer> {
  try {
    const response = await send(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')) {
      throw new CoreError('encoder_timeout', `The image encoder did not answer within ${timeoutMs / 1000} seconds.`);
    }
    throw unavailable('it cannot be reached');
  }
}

function readAnswer({ status, text }: Answer): EncodeResponse {
  if (status === 429) {
    throw new CoreError('overloaded', 'The image encoder is busy: try again in a second.', { retryAfterSeconds: 1 });
  }
  if (status === 403) throw unavailable('it does not accept our signature (AWS_ACCESS_KEY_ID and its secret)');
  // workerd's and Lambda's own pages when nothing listens or it is starting.
  if ([502, 503].includes(status)) throw unavailable(`it answered ${status}`);
  const parsed = status >= 200 && status < 300 ? EncodeResponse.safeParse(parseJson(text)) : undefined;
  if (parsed?.success) return parsed.data;
  throw new CoreError('encoder_error', `The image encoder answered ${status}: ${reasonIn(text)}`);
}

/** The sentence of an error document, or the beginning of whatever else was answered. */
function reasonIn(text: string): string {
  return ErrorBody.safeParse(parseJson(text)).data?.detail ?? text.slice(0, 200);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readResult(result: EncodeResult, embedDim: number): Float32Array | CoreError {
  if (result.status === 'failed') return new CoreError(result.code, result.message);
  const vector = fromFloat32Bytes(fromBase64(result.embedding));
  if (vector?.length === embedDim) return vector;
  throw new CoreError('encoder_error', `The image encoder answered ${vector?.length} numbers instead of ${embedDim}.`);
}

function unavailable(reason: string): CoreError {
  const message = `The image encoder is not available: ${reason}. Texts still work; try again in a few seconds.`;
  return new CoreError('encoder_unavailable', message, { retryAfterSeconds: 5 });
}
