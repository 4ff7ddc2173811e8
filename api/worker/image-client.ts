// Client of the image encoder: files as base64 in, unit vectors of full length out.
import { EncodeResponse, type EncodeResult } from '../../contracts/src/api/encode.ts';
import { fromBase64 } from '../core/base64.ts';
import { fromFloat32Bytes } from '../core/vectors.ts';
import { ApiError } from './http/errors.ts';
import type { Fetch } from './signed-fetch.ts';

/** An image file that passed the door: base64, and its place in the request for messages. */
export interface ImageInput {
  base64: string;
  item: number;
}
export type ImageEncoder = (images: ImageInput[], space: { id: string; embedDim: number }) => Promise<Float32Array[]>;

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
  return async function encodeImages(images, space) {
    if (images.length === 0) return [];
    if (!url) throw unavailable('no image encoder is configured (ENCODER_URL)');
    const vectors: Float32Array[] = [];
    for (const group of callsOf(images)) {
      const { results, space_id } = await call(`${url}/encode`, group, space.id, { timeoutMs, send });
      if (space_id !== space.id || results.length !== group.length) {
        throw new ApiError(
          'encoder_error',
          `The image encoder answered ${results.length} results of space ${space_id}.`,
        );
      }
      results.forEach((result, i) => {
        vectors.push(vectorOf(result, group[i]?.item ?? 0, space.embedDim));
      });
    }
    return vectors;
  };
}

/** A white GIF of one pixel. */
const PIXEL = 'R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=';

/**
 * Rejects unless an image of that space is encoded. An image and no question after the encoder's health: of a function
 * in many copies each has to find the space, and this is what makes the one that answers look for it.
 */
export async function proveImages(encode: ImageEncoder, space: { id: string; embedDim: number }): Promise<void> {
  await encode([{ base64: PIXEL, item: 0 }], space);
}

function callsOf(images: ImageInput[]): ImageInput[][] {
  const calls: ImageInput[][] = [];
  let room = 0;
  for (const image of images) {
    const last = calls.at(-1);
    if (last && last.length < CALL_IMAGES && image.base64.length <= room) last.push(image);
    else {
      calls.push([image]);
      room = CALL_CHARS;
    }
    room -= image.base64.length;
  }
  return calls;
}

async function call(
  url: string,
  images: ImageInput[],
  spaceId: string,
  { timeoutMs, send }: Required<ImageEncoderOptions>,
): Promise<EncodeResponse> {
  let response: Response;
  let text: string;
  try {
    response = await send(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ space_id: spaceId, images: images.map(({ base64 }) => base64) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch (error) {
    if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')) {
      throw new ApiError('encoder_timeout', `The image encoder did not answer within ${timeoutMs / 1000} seconds.`);
    }
    throw unavailable('it cannot be reached');
  }
  if (response.status === 429) {
    throw new ApiError('overloaded', 'The image encoder is busy: try again in a second.', {
      headers: { 'Retry-After': '1' },
    });
  }
  if (response.status === 403) throw unavailable('it does not accept our signature (AWS_ACCESS_KEY_ID and its secret)');
  // workerd's and Lambda's own pages when nothing listens or it is starting.
  if ([502, 503].includes(response.status)) throw unavailable(`it answered ${response.status}`);
  const parsed = response.ok ? EncodeResponse.safeParse(parseJson(text)) : undefined;
  if (parsed?.success) return parsed.data;
  throw new ApiError('encoder_error', `The image encoder answered ${response.status}: ${text.slice(0, 200)}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function vectorOf(result: EncodeResult, item: number, embedDim: number): Float32Array {
  if (result.status === 'failed') throw new ApiError(result.code, `Image ${item}: ${result.message}`, { item });
  const vector = fromFloat32Bytes(fromBase64(result.embedding));
  if (vector?.length === embedDim) return vector;
  throw new ApiError('encoder_error', `The image encoder answered ${vector?.length} numbers instead of ${embedDim}.`);
}

function unavailable(reason: string): ApiError {
  const message = `The image encoder is not available: ${reason}. Texts still work; try again in a few seconds.`;
  return new ApiError('encoder_unavailable', message, { headers: { 'Retry-After': '5' } });
}
