// Image files on their way to the encoder as one run of bytes: a header of JSON behind its length, then file after file.
import { EncodeFrame } from '../../../contracts/src/api/encode.ts';
import { CoreError } from '../errors.ts';
import { parseRequest } from '../validation.ts';

/** What Content-Type calls it. */
export const FRAME_TYPE = 'application/vnd.edge-clip.images';
const LENGTH_BYTES = 4;
/** A header is a digest and some numbers, all in ASCII. */
const MOST_HEADER_BYTES = 16 * 1024;

export function writeFrame(space_id: string, files: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify({ space_id, sizes: files.map(({ length }) => length) });
  const header = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const parts = [header, ...files];
  const frame = new Uint8Array(LENGTH_BYTES + parts.reduce((sum, { length }) => sum + length, 0));
  new DataView(frame.buffer).setUint32(0, header.length);
  let at = LENGTH_BYTES;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/** The files are parts of `frame`: nothing is copied. */
export function readFrame(frame: Uint8Array): { space_id: string; files: Uint8Array[] } {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const start = LENGTH_BYTES + (frame.length < LENGTH_BYTES ? Infinity : view.getUint32(0));
  if (start > frame.length || start > MOST_HEADER_BYTES) throw malformed('is shorter than its header says');
  const { space_id, sizes } = parseRequest(EncodeFrame, headerOf(frame.subarray(LENGTH_BYTES, start)));
  let at = start;
  const files = sizes.map((size) => {
    at += size;
    return frame.subarray(at - size, at);
  });
  if (at !== frame.length) throw malformed(`has ${frame.length} bytes and not the ${at} that its header says`);
  return { space_id, files };
}

function headerOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(String.fromCharCode(...bytes));
  } catch {
    throw malformed('has a header that is not JSON');
  }
}

function malformed(problem: string): CoreError {
  return new CoreError('invalid_request', `the body (${FRAME_TYPE}) ${problem}.`);
}
