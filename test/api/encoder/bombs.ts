// Decompression bombs and damaged files, made in memory: small to send, large to decode.
import { crc32, deflateSync } from 'node:zlib';

function chunk(name: string, body: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(name), body]);
  const framed = Buffer.alloc(named.length + 8);
  framed.writeUInt32BE(body.length, 0);
  named.copy(framed, 4);
  framed.writeUInt32BE(crc32(named), framed.length - 4);
  return framed;
}

/** A valid PNG of one colour. `colorType`: 0 grey, 2 RGB. */
export function plainPng(width: number, height: number, colorType: 0 | 2 = 2, bitDepth: 1 | 8 = 8): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bitDepth, colorType, 0, 0, 0], 8);
  const rowBytes = 1 + Math.ceil((width * bitDepth * (colorType === 2 ? 3 : 1)) / 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const body = deflateSync(Buffer.alloc(rowBytes * height), { level: 1 });
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', body), chunk('IEND', Buffer.alloc(0))]);
}

/** The header of a PNG this large, with a body that is far too short: enough for whoever reads the header first. */
export function pngThatClaims(width: number, height: number): Buffer {
  const small = plainPng(8, 8);
  const header = Buffer.from(small.subarray(16, 29));
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  return Buffer.concat([small.subarray(0, 8), chunk('IHDR', header), small.subarray(33)]);
}

/** A small PNG with a chunk before its pixels that inflates to `megabytes`: a colour profile or a text that nobody needs. */
export function pngWithChunk(name: 'iCCP' | 'zTXt', megabytes: number): Buffer {
  const small = plainPng(8, 8);
  const inflating = deflateSync(Buffer.alloc(megabytes * 1_000_000), { level: 1 });
  const body = Buffer.concat([Buffer.from('bomb\0\0', 'latin1'), inflating]);
  return Buffer.concat([small.subarray(0, 33), chunk(name, body), small.subarray(33)]);
}

/** A PNG of 8 x 8 whose pixels inflate to `megabytes`. */
export function pngOfMore(megabytes: number): Buffer {
  const small = plainPng(8, 8);
  const body = deflateSync(Buffer.alloc(megabytes * 1_000_000), { level: 1 });
  return Buffer.concat([small.subarray(0, 33), chunk('IDAT', body), chunk('IEND', Buffer.alloc(0))]);
}

/** The same file with other sides in its header; a checksum over the header is made anew. Throws where it has none of the five forms. */
export function claiming(file: Uint8Array, width: number, height: number): Buffer {
  const bytes = Buffer.from(file);
  if (bytes.subarray(1, 4).toString() === 'PNG') {
    bytes.writeUInt32BE(width, 16);
    bytes.writeUInt32BE(height, 20);
    bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29);
    return bytes;
  }
  if (bytes[0] === 0xff) return claimingJpeg(bytes, width, height);
  if (bytes.subarray(0, 3).toString() === 'GIF') {
    bytes.writeUInt16LE(width, 6);
    bytes.writeUInt16LE(height, 8);
    return bytes;
  }
  if (bytes.subarray(8, 12).toString() === 'WEBP') return claimingWebp(bytes, width, height);
  const at = bytes.indexOf('ispe');
  if (at < 0) throw new Error('a file of no form whose header is known');
  bytes.writeUInt32BE(width, at + 8);
  bytes.writeUInt32BE(height, at + 12);
  return bytes;
}

/** In the frame header, SOF0 or SOF2. */
function claimingJpeg(bytes: Buffer, width: number, height: number): Buffer {
  let at = 2;
  while (![0xc0, 0xc1, 0xc2].includes(bytes[at + 1] ?? 0)) at += 2 + bytes.readUInt16BE(at + 2);
  bytes.writeUInt16BE(height, at + 5);
  bytes.writeUInt16BE(width, at + 7);
  return bytes;
}

function claimingWebp(bytes: Buffer, width: number, height: number): Buffer {
  const kind = bytes.subarray(12, 16).toString();
  if (kind === 'VP8X') {
    bytes.writeUIntLE((width - 1) & 0xffffff, 24, 3);
    bytes.writeUIntLE((height - 1) & 0xffffff, 27, 3);
  } else if (kind === 'VP8 ') {
    bytes.writeUInt16LE(width & 0x3fff, 26);
    bytes.writeUInt16LE(height & 0x3fff, 28);
  } else bytes.writeUInt32LE((((width - 1) & 0x3fff) | (((height - 1) & 0x3fff) << 14)) >>> 0, 21);
  return bytes;
}

/** A GIF of one colour: a canvas, and frames that may be larger than it. Each frame is one code and the end: nearly no bytes. */
export function gifOf(canvas: [number, number], frame: [number, number], frames: number): Buffer {
  const size = ([width, height]: [number, number]) => {
    const sides = Buffer.alloc(4);
    sides.writeUInt16LE(width, 0);
    sides.writeUInt16LE(height, 2);
    return sides;
  };
  const palette = Buffer.from([0, 0, 0, 255, 255, 255]);
  const head = Buffer.concat([Buffer.from('GIF89a'), size(canvas), Buffer.from([0x80, 0, 0]), palette]);
  const picture = Buffer.concat([Buffer.from([0x2c, 0, 0, 0, 0]), size(frame), Buffer.from([0, 2, 2, 0x4c, 0x01, 0])]);
  return Buffer.concat([head, ...Array.from({ length: frames }, () => picture), Buffer.from([0x3b])]);
}

/** A progressive JPEG whose last scan is there `times`: each goes over every block again for a few bytes. */
export function jpegOfScans(progressive: Uint8Array, times: number): Buffer {
  const bytes = Buffer.from(progressive);
  const last = bytes.lastIndexOf(Buffer.from([0xff, 0xda]));
  const end = bytes.lastIndexOf(Buffer.from([0xff, 0xd9]));
  const scan = bytes.subarray(last, end);
  return Buffer.concat([bytes.subarray(0, end), ...Array.from({ length: times }, () => scan), bytes.subarray(end)]);
}
