// Image files on their way in: base64, a data URI or bytes become bytes, of which size, type and pixels are checked.
import { LIMITS } from '../../../contracts/src/api/embed.ts';
import { CoreError } from '../errors.ts';
import { base64Size, fromBase64, isBase64 } from '../vectors/base64.ts';
import { type ImageHeader, readImageHeader } from './header.ts';

/** JPEG's and GIF's own limit. It keeps a 1 x 16,000,000 image from needing 16,000,000 rows of resize weights. */
export const MAX_SIDE = 65_535;
const TAKEN = 'JPEG, PNG, WebP, GIF and AVIF files are accepted';

/** The bytes of an image that came as base64, as a data URI or as they are. Only the size is checked. */
export function imageBytes(image: string | Uint8Array): Uint8Array {
  if (typeof image !== 'string') return image;
  if (image === '') throw emptyFile();
  const base64 = payload(image);
  if (base64 === undefined || !isBase64(base64)) {
    const message = 'send base64 of a file, or a data URI such as data:image/jpeg;base64,…; links are not fetched.';
    throw new CoreError('not_an_image', message);
  }
  checkSize(base64Size(base64));
  return fromBase64(base64);
}

/** The header of a file that may be decoded; throws where it may not. Nothing is decoded. */
export function checkImage(file: Uint8Array): ImageHeader {
  if (file.length === 0) throw emptyFile();
  checkSize(file.length);
  const header = readImageHeader(file);
  if (header === 'svg') throw new CoreError('unsupported_image_type', `SVG is not supported: ${TAKEN}.`);
  if (header === 'unknown') throw new CoreError('not_an_image', `the file is not an image: ${TAKEN}.`);
  if (header === 'broken') {
    throw new CoreError('broken_image', 'the file is cut off or damaged: its header does not tell a size.');
  }
  const { width, height } = header;
  if (width * height > LIMITS.image_pixels || Math.max(width, height) > MAX_SIDE) {
    const pixels = `${grouped(width)} x ${grouped(height)} = ${grouped(width * height)} pixels`;
    const allowed = `${grouped(LIMITS.image_pixels)} pixels and ${grouped(MAX_SIDE)} on a side`;
    throw new CoreError('too_many_pixels', `the image has ${pixels}; at most ${allowed} are allowed.`);
  }
  return header;
}

function checkSize(size: number): void {
  if (size <= LIMITS.image_bytes) return;
  const message = `the file has ${grouped(size)} bytes; at most ${grouped(LIMITS.image_bytes)} are allowed.`;
  throw new CoreError('image_too_large', message);
}

function emptyFile(): CoreError {
  return new CoreError('empty_input', 'the file is empty.');
}

/** Undefined for a data URI that is not base64. Its media type is not believed; the bytes are. */
function payload(image: string): string | undefined {
  const isUri = image.slice(0, 5).toLowerCase() === 'data:';
  const comma = isUri ? image.indexOf(',') : -1;
  if (isUri && (comma < 0 || !/;base64$/i.test(image.slice(0, comma)))) return undefined;
  const text = image.slice(comma + 1);
  const joined = /\s/.test(text) ? text.replace(/\s+/g, '') : text;
  return joined === '' ? undefined : joined;
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
