// Lines of a stream of bytes, each of bounded length: a file without line ends must not fill the memory. And what a line may say.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { BulkLine } from '../../../contracts/src/bulk/lines.ts';
import { fieldOf, jsonIn } from '../../../contracts/src/json.ts';
import { CoreError } from '../../core/errors.ts';

/** An image as base64, its name, and some room. */
export const LINE_BYTES = Math.ceil((LIMITS.image_bytes * 4) / 3) + 64 * 1024;

/** Letters of a name, as the contract has it. */
const MOST_NAME = 512;
const FORMS = 'a line is {"custom_id"} with one of "text", "image", "content", "path", "uri", "tar" and "video"';

/** A line without its end; undefined in place of one that is longer than `most` bytes. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<string | undefined> {
  const decoder = new TextDecoder();
  let parts: Uint8Array[] = [];
  let size = 0;
  let isTooLong = false;
  const add = (part: Uint8Array): void => {
    size += part.byteLength;
    isTooLong ||= size > most;
    if (isTooLong) parts = [];
    else parts.push(part);
  };
  const take = (): string | undefined => {
    const line = isTooLong ? undefined : decoder.decode(wholeOf(parts, size)).replace(/\r$/, '');
    [parts, size, isTooLong] = [[], 0, false];
    return line;
  };
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      add(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
  if (size > 0) yield take();
}

function wholeOf(parts: Uint8Array[], size: number): Uint8Array {
  const [only] = parts;
  return only && parts.length === 1 ? only : joined(parts, size);
}

function joined(parts: Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

export function tooLong(): CoreError {
  return new CoreError('body_too_large', `the line has more than ${LINE_BYTES.toLocaleString('en-US')} bytes.`);
}

export function readLine(text: string | undefined): BulkLine | CoreError {
  if (text === undefined) return tooLong();
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return new CoreError('malformed_json', 'the line is not JSON.');
  }
  const line = BulkLine.safeParse(document);
  return line.success ? line.data : new CoreError('invalid_request', wrongIn(document));
}

/** What a line is called that is no line of a job, as far as it has a name; null else. */
export const nameOf = (text = ''): string | null => nameIn(jsonIn(text));

export function nameIn(document: unknown): string | null {
  const name = fieldOf(document, 'custom_id');
  return typeof name === 'string' ? name : null;
}

function wrongIn(document: unknown): string {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return `${FORMS}.`;
  const { custom_id, ...others } = document as Record<string, unknown>;
  if (typeof custom_id !== 'string' || custom_id === '') return `${FORMS}; "custom_id" is not a text here.`;
  if (custom_id.length > MOST_NAME) return `"custom_id" has ${custom_id.length} characters, of at most ${MOST_NAME}.`;
  const keys = Object.keys(others).map((key) => `"${key}"`);
  const [key] = keys;
  if (key !== undefined && keys.length === 1 && FORMS.includes(key))
    return `${FORMS}; the value of ${key} is of another kind.`;
  return `${FORMS}; this one has ${keys.join(', ') || 'none of them'}.`;
}

/** One document a line. Never one string of them all: V8's longest has 536,870,888 characters. */
export function encodeLines(documents: Iterable<object>): Uint8Array<ArrayBuffer> {
  return joinLines(Array.from(documents, encodeLine));
}

export function encodeLine(document: object): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(document)}\n`);
}

export function joinLines(lines: Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const line of lines) size += line.byteLength;
  return joined(lines, size);
}
