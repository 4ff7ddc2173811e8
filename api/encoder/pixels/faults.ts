// Errors of pictures in our own sentences: a decoder's message stays inside.
import type { ImageType } from '../../../contracts/src/api/encode.ts';
import { little } from '../../core/images/bytes.ts';

/** Of what a decoder could not read. */
export function faultOf(bytes: Uint8Array, type: ImageType): string {
  const name = type.toUpperCase();
  const size = bytes.length.toLocaleString('en-US');
  if (isCutOff(bytes, type)) {
    return `the ${name} file is cut off: it ends, after ${size} bytes, before its picture does. Send the whole file.`;
  }
  return `the ${name} file is damaged: its data make no picture. Open it in an image program and save it again.`;
}

/** Of a file that is sound and written in a way that the decoder does not know. */
export function codingOf(type: ImageType): string {
  return `the ${type.toUpperCase()} file uses a coding that is not supported here: save it as PNG or as an ordinary JPEG.`;
}

export const NO_END_MARK =
  'the JPEG file lacks its end mark, the bytes FF D9, and nothing else: its picture is whole. ' +
  "Save it again, or append the mark: printf '\\377\\331' >> photo.jpg";

/** Of a picture that was read all the same; `reason` is the decoder's. Undefined where the picture does not suffer. */
export function warningOf(reason: string): string | undefined {
  if (/extraneous bytes/i.test(reason)) return undefined;
  if (/premature end/i.test(reason)) {
    return "The file's data end before the picture does: what is missing is grey, and the vector stands for that too.";
  }
  return "The file's data are damaged at some place: a part of the picture may be wrong, and the vector with it.";
}

/** Whether a file ends before its own structure says that it does. */
function isCutOff(bytes: Uint8Array, type: ImageType): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (type) {
    case 'jpeg':
      return !endsWith(bytes, [0xff, 0xd9]);
    case 'gif':
      return !endsWith(bytes, [0x3b]);
    case 'webp':
      return little(bytes, 4, 4) + 8 > bytes.length;
    case 'png':
      return (
        isShort(bytes.length, { from: 8, next: (at) => at + 12 + view.getUint32(at), least: 12 }) || !hasEnd(bytes)
      );
    case 'avif':
      // A size of 0 reaches to the end, and one of 1 is written behind the name in 64 bits.
      return isShort(bytes.length, { from: 0, next: (at) => at + (sizeOfBox(view, at) || Infinity), least: 8 });
  }
}

/** Walks the parts of a file; true where the last one would end behind the file's end. */
function isShort(size: number, walk: { from: number; next: (at: number) => number; least: number }): boolean {
  let at = walk.from;
  while (at < size) {
    if (at + walk.least > size) return true;
    at = walk.next(at);
  }
  return at !== Infinity && at > size;
}

function sizeOfBox(view: DataView, at: number): number {
  const size = view.getUint32(at);
  return size === 1 && at + 16 <= view.byteLength ? Number(view.getBigUint64(at + 8)) : size;
}

function hasEnd(png: Uint8Array): boolean {
  return Buffer.from(png.buffer, png.byteOffset, png.length).includes('IEND');
}

/** Zeros behind the end, as some programs leave them, do not count. */
function endsWith(bytes: Uint8Array, end: number[]): boolean {
  let last = bytes.length;
  while (last > 0 && bytes[last - 1] === 0) last--;
  return end.every((byte, i) => bytes[last - end.length + i] === byte);
}
