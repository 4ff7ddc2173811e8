// An image file's type and size in pixels, read from its header without decoding anything.
import type { ImageType } from '../../../contracts/src/api/encode.ts';
import { ascii, big, brandsOf, little } from './bytes.ts';
import { type ForeignFile, nameForeignFile } from './foreign.ts';

export interface ImageHeader {
  type: ImageType;
  width: number;
  height: number;
}

/** A foreign or `unknown` file is refused. `broken`: a known type whose header is cut off or makes no sense. */
export type HeaderVerdict = ImageHeader | ForeignFile | 'unknown' | 'broken';

export function readImageHeader(file: Uint8Array): HeaderVerdict {
  const reader = READERS.find(({ matches }) => matches(file));
  if (!reader) return nameForeignFile(file) ?? 'unknown';
  const size = reader.size(file);
  return size && size.width > 0 && size.height > 0 ? { type: reader.type, ...size } : 'broken';
}

interface Size {
  width: number;
  height: number;
}
interface Reader {
  type: ImageType;
  matches: (bytes: Uint8Array) => boolean;
  /** Undefined when `bytes` ends before the size. */
  size: (bytes: Uint8Array) => Size | undefined;
}

const READERS: Reader[] = [
  { type: 'png', matches: (b) => ascii(b, 1, 'PNG\r\n\x1a\n') && b[0] === 0x89, size: pngSize },
  { type: 'jpeg', matches: (b) => b[0] === 0xff && b[1] === 0xd8 && b[2] === 0xff, size: jpegSize },
  { type: 'gif', matches: (b) => ascii(b, 0, 'GIF87a') || ascii(b, 0, 'GIF89a'), size: gifSize },
  { type: 'webp', matches: (b) => ascii(b, 0, 'RIFF') && ascii(b, 8, 'WEBP'), size: webpSize },
  { type: 'avif', matches: isAvif, size: avifSize },
];

function pngSize(bytes: Uint8Array): Size | undefined {
  if (bytes.length < 24) return undefined;
  if (!ascii(bytes, 12, 'IHDR')) return { width: 0, height: 0 };
  return { width: big(bytes, 16, 4), height: big(bytes, 20, 4) };
}

function gifSize(bytes: Uint8Array): Size | undefined {
  return bytes.length < 10 ? undefined : { width: little(bytes, 6, 2), height: little(bytes, 8, 2) };
}

function jpegSize(bytes: Uint8Array): Size | undefined {
  const at = jpegFrame(bytes);
  if (at === undefined) return undefined;
  return at === 'none' ? { width: 0, height: 0 } : { width: big(bytes, at + 7, 2), height: big(bytes, at + 5, 2) };
}

/** How many colours a JPEG file has by its frame header: four are inks. */
export function jpegComponents(bytes: Uint8Array): number | undefined {
  const at = jpegFrame(bytes);
  return typeof at === 'number' ? bytes[at + 9] : undefined;
}

/**
 * Walks the segments to the frame header (SOF0..SOF15 but for DHT, JPG and DAC); a photo's EXIF can be 64 KiB long. Undefined
 * when `bytes` ends before it.
 */
function jpegFrame(bytes: Uint8Array): number | 'none' | undefined {
  let at = 2;
  while (at + 9 <= bytes.length) {
    if (bytes[at] !== 0xff) return 'none';
    const marker = bytes[at + 1] ?? 0;
    const alone = marker === 0xff || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7);
    if (alone) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === 0xd9 || marker === 0xda) return 'none';
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return at;
    at += 2 + Math.max(2, big(bytes, at + 2, 2));
  }
  return undefined;
}

function webpSize(bytes: Uint8Array): Size | undefined {
  if (bytes.length < 30) return undefined;
  if (ascii(bytes, 12, 'VP8X')) return { width: little(bytes, 24, 3) + 1, height: little(bytes, 27, 3) + 1 };
  if (ascii(bytes, 12, 'VP8 ')) {
    return { width: little(bytes, 26, 2) & 0x3fff, height: little(bytes, 28, 2) & 0x3fff };
  }
  if (ascii(bytes, 12, 'VP8L') && bytes[20] === 0x2f) {
    const bits = little(bytes, 21, 4);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  return { width: 0, height: 0 };
}

export function isAnimatedWebp(bytes: Uint8Array): boolean {
  return ascii(bytes, 12, 'VP8X') && ((bytes[20] ?? 0) & 2) !== 0;
}

/** Stills, and sequences that carry their first frame as one. The brand may stand behind a more general one. */
function isAvif(bytes: Uint8Array): boolean {
  const brands = brandsOf(bytes);
  return brands.includes('avif') || (brands.includes('avis') && avifSize(bytes) !== undefined);
}

/** The largest `ispe` (image spatial extents) property: a grid or a thumbnail has its own beside the picture's. */
function avifSize(bytes: Uint8Array): Size | undefined {
  let found: Size | undefined;
  for (let at = 4; at + 16 <= bytes.length; at++) {
    if (!ascii(bytes, at, 'ispe')) continue;
    const size = { width: big(bytes, at + 8, 4), height: big(bytes, at + 12, 4) };
    if (!found || size.width * size.height > found.width * found.height) found = size;
  }
  return found;
}
