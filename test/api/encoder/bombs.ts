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
