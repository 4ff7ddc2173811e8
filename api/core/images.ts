// An image of a request on its way in: base64 or data URI -> checked size, type and pixels, nothing decoded.
import { LIMITS } from '../../contracts/src/api/embed.ts';
import { ApiError } from '../worker/http/errors.ts';
import type { ImageInput } from '../worker/image-client.ts';
import { base64Size, fromBase64, isBase64 } from './base64.ts';
import { type HeaderVerdict, readImageHeader } from './image-header.ts';

/** Base64 characters read first, a multiple of 4; a JPEG with a long preamble is read further. */
const FIRST_CHARS = 65_536;

export function readImage(image: string, item: number, param: string): ImageInput {
  const fail = (code: ConstructorParameters<typeof ApiError>[0], message: string) =>
    new ApiError(code, `Image ${item}: ${message}`, { item, param });
  if (image === '') throw fail('empty_input', 'the file is empty.');
  const base64 = payload(image);
  if (base64 === undefined || !isBase64(base64)) {
    throw fail(
      'not_an_image',
      'send base64 of a file, or a data URI such as data:image/jpeg;base64,…; links are not fetched.',
    );
  }
  const size = base64Size(base64);
  if (size > LIMITS.image_bytes) {
    throw fail('image_too_large', `a file may have ${LIMITS.image_bytes} bytes; this one has ${size}.`);
  }
  const verdict = sniff(base64);
  if (verdict === 'svg') throw fail('unsupported_image_type', 'SVG is not taken; send JPEG, PNG, WebP, GIF or AVIF.');
  if (verdict === 'unknown') throw fail('not_an_image', 'the bytes are no JPEG, PNG, WebP, GIF or AVIF file.');
  if (typeof verdict === 'string') throw fail('broken_image', 'its header is damaged or cut off.');
  const { width, height } = verdict;
  if (width * height > LIMITS.image_pixels) {
    const message = `it has ${width} x ${height} = ${width * height} pixels; the limit is ${LIMITS.image_pixels}.`;
    throw fail('too_many_pixels', message);
  }
  return { base64, item };
}

/** Undefined for a data URI that is not base64. The header's media type is not believed; the bytes are. */
function payload(image: string): string | undefined {
  const isUri = image.slice(0, 5).toLowerCase() === 'data:';
  const comma = isUri ? image.indexOf(',') : -1;
  if (isUri && (comma < 0 || !/;base64$/i.test(image.slice(0, comma)))) return undefined;
  const text = image.slice(comma + 1);
  const joined = /\s/.test(text) ? text.replace(/\s+/g, '') : text;
  return joined === '' ? undefined : joined;
}

function sniff(base64: string): HeaderVerdict {
  for (let chars = FIRST_CHARS; ; chars *= 8) {
    const whole = chars >= base64.length;
    const verdict = readImageHeader(fromBase64(base64.slice(0, chars)), whole);
    if (verdict !== 'incomplete' || whole) return verdict;
  }
}
