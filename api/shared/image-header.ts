// What an image file says about itself before anybody decodes it: type by magic bytes, width and height by its header.
import { LIMITS } from '../../contracts/src/embed.ts';
import type { ErrorCode } from '../../contracts/src/error.ts';

export type ImageType = 'jpeg' | 'png' | 'webp' | 'gif' | 'avif';

/** Sides are as stored, before any EXIF rotation. `cmyk`: a JPEG of four inks, which needs its own way to RGB. */
export type ImageHeader = { type: ImageType; width: number; height: number; cmyk: boolean };

/** JPEG's and GIF's own bound. It keeps a 1 x 16,000,000 image from needing 16,000,000 rows of resize weights. */
export const MAX_SIDE = 65_535;

/** The client's image is at fault; `code` carries the status, `message` the sentence. */
export class ImageRefused extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'ImageRefused';
    this.code = code;
  }
}

/** The header of a file small enough to decode, else an `ImageRefused`. Reads a few bytes, decodes nothing. */
export function checkImage(bytes: Uint8Array): ImageHeader {
  if (bytes.length > LIMITS.image_bytes) {
    const sizes = `${grouped(bytes.length)} bytes; at most ${grouped(LIMITS.image_bytes)} are allowed`;
    throw new ImageRefused('image_too_large', `the image file has ${sizes}: send a smaller or more compressed one`);
  }
  const header = readImageHeader(bytes);
  const { width, height } = header;
  if (width === 0 || height === 0) throw broken(header.type, `its header says ${width} x ${height} pixels`);
  if (width * height > LIMITS.image_pixels || Math.max(width, height) > MAX_SIDE) {
    const has = `${grouped(width)} x ${grouped(height)} = ${grouped(width * height)} pixels`;
    const allowed = `${grouped(LIMITS.image_pixels)} pixels and ${grouped(MAX_SIDE)} on a side`;
    throw new ImageRefused('too_many_pixels', `the image has ${has}; at most ${allowed} are allowed: shrink it first`);
  }
  return header;
}

export function readImageHeader(bytes: Uint8Array): ImageHeader {
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return jpeg(bytes);
  if (startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return png(bytes);
  if (ascii(bytes, 0, 4) === 'GIF8') return gif(bytes);
  if (ascii(bytes, 0, 4) === 'RIFF' && ascii(bytes, 8, 4) === 'WEBP') return webp(bytes);
  if (ascii(bytes, 4, 4) === 'ftyp') {
    const brands = ascii(bytes, 8, Math.min(view(bytes).getUint32(0), 256) - 8);
    if (/avi[fs]/.test(brands)) return avif(bytes);
  }
  const other = unsupportedName(bytes);
  const accepted = 'JPEG, PNG, WebP, GIF and AVIF files are accepted';
  if (other !== undefined) throw new ImageRefused('unsupported_image_type', `${other} is not supported; ${accepted}`);
  throw new ImageRefused('not_an_image', `the ${grouped(bytes.length)} bytes sent are not an image; ${accepted}`);
}

function unsupportedName(bytes: Uint8Array): string | undefined {
  const text = ascii(bytes, 0, 1024).replace(/^(\u00ef\u00bb\u00bf)?\s+/, '');
  if (/^(\u00ef\u00bb\u00bf)?</.test(text) && /<(\w+:)?svg[\s>]/i.test(text)) return 'SVG';
  if (/^(II\*\0|MM\0\*)/.test(text)) return 'TIFF';
  if (text.startsWith('BM') && bytes.length > 26 && view(bytes).getUint32(2, true) === bytes.length) return 'BMP';
  if (/^....ftyp(hei|hev|mif1|msf1)/s.test(text)) return 'HEIC';
  if (text.startsWith('\xff\x0a') || text.startsWith('\0\0\0\x0cJXL ')) return 'JPEG XL';
  return undefined;
}

/** The first start-of-frame marker (C0..CF but not the tables C4, C8, CC). Segments are stepped over by their length. */
function jpeg(bytes: Uint8Array): ImageHeader {
  const data = view(bytes);
  let at = 2;
  while (at + 9 < bytes.length) {
    if (bytes[at] !== 0xff) at += 1;
    else {
      const marker = data.getUint8(at + 1);
      if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
        const cmyk = data.getUint8(at + 9) === 4;
        return { type: 'jpeg', width: data.getUint16(at + 7), height: data.getUint16(at + 5), cmyk };
      }
      if (marker === 0xd9 || marker === 0xda) break;
      const bare = marker === 0xff || marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8);
      at += bare ? (marker === 0xff ? 1 : 2) : 2 + data.getUint16(at + 2);
    }
  }
  throw broken('jpeg', 'it has no frame header');
}

function png(bytes: Uint8Array): ImageHeader {
  if (bytes.length < 33 || ascii(bytes, 12, 4) !== 'IHDR') throw broken('png', 'it has no IHDR chunk');
  return { type: 'png', width: view(bytes).getUint32(16), height: view(bytes).getUint32(20), cmyk: false };
}

/** The logical screen, or the first frame where that is larger (decoders grow the screen to it). */
function gif(bytes: Uint8Array): ImageHeader {
  if (bytes.length < 13) throw broken('gif', 'it ends within its header');
  const data = view(bytes);
  let [width, height] = [data.getUint16(6, true), data.getUint16(8, true)];
  const flags = data.getUint8(10);
  let at = 13 + (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  while (at + 9 < bytes.length && bytes[at] === 0x21) {
    at += 2; // an extension: label, then sub-blocks up to an empty one
    while (at < bytes.length && bytes[at] !== 0) at += 1 + (bytes[at] ?? 0);
    at += 1;
  }
  if (at + 9 < bytes.length && bytes[at] === 0x2c) {
    width = Math.max(width, data.getUint16(at + 1, true) + data.getUint16(at + 5, true));
    height = Math.max(height, data.getUint16(at + 3, true) + data.getUint16(at + 7, true));
  }
  return { type: 'gif', width, height, cmyk: false };
}

function webp(bytes: Uint8Array): ImageHeader {
  if (bytes.length < 30) throw broken('webp', 'it ends within its header');
  const data = view(bytes);
  const chunk = ascii(bytes, 12, 4);
  const found = (width: number, height: number): ImageHeader => ({ type: 'webp', width, height, cmyk: false });
  if (chunk === 'VP8 ') return found(data.getUint16(26, true) & 0x3fff, data.getUint16(28, true) & 0x3fff);
  if (chunk === 'VP8L') {
    const bits = data.getUint32(21, true);
    return found((bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1);
  }
  if (chunk === 'VP8X') {
    return found((data.getUint32(24, true) & 0xffffff) + 1, (data.getUint32(26, true) >>> 8) + 1);
  }
  throw broken('webp', 'it starts with none of the chunks VP8, VP8L, VP8X');
}

/** The largest `ispe` (image spatial extents) under meta/iprp/ipco: a grid of tiles declares its whole there too. */
function avif(bytes: Uint8Array): ImageHeader {
  const data = view(bytes);
  let [width, height] = [0, 0];
  const walk = (from: number, to: number): void => {
    for (let at = from; at + 8 <= to; ) {
      const declared = data.getUint32(at);
      const size = declared === 0 ? to - at : declared;
      if (size < 8) return; // 64-bit sizes belong to media data, which comes after the properties
      const name = ascii(bytes, at + 4, 4);
      const end = Math.min(at + size, to);
      if (name === 'meta') walk(at + 12, end);
      else if (name === 'iprp' || name === 'ipco') walk(at + 8, end);
      else if (name === 'ispe' && at + 20 <= end) {
        const [w, h] = [data.getUint32(at + 12), data.getUint32(at + 16)];
        if (w * h > width * height) [width, height] = [w, h];
      }
      at = at + size;
    }
  };
  walk(0, bytes.length);
  if (width === 0) throw broken('avif', 'it declares no image size');
  return { type: 'avif', width, height, cmyk: false };
}

export function broken(type: ImageType, why: string): ImageRefused {
  return new ImageRefused('broken_image', `the ${type.toUpperCase()} file cannot be read: ${why}`);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function startsWith(bytes: Uint8Array, magic: number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}

function ascii(bytes: Uint8Array, from: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(from, from + Math.max(0, length)));
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
