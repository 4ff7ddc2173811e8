// Image files on their way in: base64, a data URI or bytes become bytes, of which size, type and pixels are checked.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { CoreError } from '../errors.ts';
import { base64Size, fromBase64 } from '../vectors/base64.ts';
import { type ImageHeader, isAnimatedWebp, readImageHeader } from './header.ts';
import { readWritten } from './written.ts';

/** JPEG's and GIF's own limit. It keeps a 1 x 16,000,000 image from needing 16,000,000 rows of resize weights. */
export const MAX_SIDE = 65_535;
const TAKEN = 'JPEG, PNG, WebP, GIF and AVIF files are accepted';

/** The bytes of an image that came as base64, as a data URI or as they are. Only the size is checked. */
export function imageBytes(image: string | Uint8Array): Uint8Array {
  if (typeof image !== 'string') return image;
  const written = readWritten(image);
  if ('fault' in written) throw new CoreError(written.isEmpty ? 'empty_input' : 'not_an_image', written.fault);
  const { base64 } = written;
  checkSize(base64Size(base64));
  return fromBase64(base64);
}

/** The header of a file that may be decoded; throws where it may not. Nothing is decoded. */
export function checkImage(file: Uint8Array): ImageHeader {
  if (file.length === 0) throw emptyFile();
  checkSize(file.length);
  const header = readImageHeader(file);
  if (typeof header === 'object' && 'remedy' in header) {
    const { name, remedy } = header;
    throw new CoreError('unsupported_image_type', `the file is ${name}, which is not supported: ${TAKEN}. ${remedy}`);
  }
  if (header === 'unknown') {
    const text = beginningOf(file);
    const what =
      text === undefined ? 'not an image' : `not an image but a text, which begins with ${JSON.stringify(text)}`;
    throw new CoreError('not_an_image', `the file is ${what}: ${TAKEN}.`);
  }
  if (header === 'broken') {
    throw new CoreError('broken_image', 'the file is cut off or damaged: its header does not tell a size.');
  }
  const { width, height } = header;
  const most = isPhoto(file, header) ? LIMITS.photo_pixels : LIMITS.image_pixels;
  if (width * height > most || Math.max(width, height) > MAX_SIDE) {
    const pixels = `${grouped(width)} x ${grouped(height)} = ${grouped(width * height)} pixels`;
    const allowed = `${grouped(most)} pixels and ${grouped(MAX_SIDE)} on a side`;
    throw new CoreError('too_many_pixels', `the image has ${pixels}; at most ${allowed} are allowed.`);
  }
  return header;
}

/** Of a text in the place of a picture, such as the page of an error or a pointer of Git LFS: enough to recognise it. */
function beginningOf(file: Uint8Array): string | undefined {
  const start = String.fromCharCode(...file.subarray(0, 40));
  return /^[\t\n\r -~]+$/.test(start) ? start.trim() : undefined;
}

/** Whether it can be halved while it is decoded, row by row: the frames of an animation are composed at full size. */
function isPhoto(file: Uint8Array, { type }: ImageHeader): boolean {
  return type === 'jpeg' || (type === 'webp' && !isAnimatedWebp(file));
}

function checkSize(size: number): void {
  if (size <= LIMITS.image_bytes) return;
  const message = `the file has ${grouped(size)} bytes; at most ${grouped(LIMITS.image_bytes)} are allowed.`;
  throw new CoreError('image_too_large', message);
}

function emptyFile(): CoreError {
  return new CoreError('empty_input', 'the file is empty.');
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
