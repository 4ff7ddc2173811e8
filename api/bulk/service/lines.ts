// Lines of a stream of bytes, each of bounded length: a file without line ends must not fill the memory. And what a line may say.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { BulkLine, isName } from '../../../contracts/src/bulk/lines.ts';
import { fieldOf, jsonIn } from '../../../contracts/src/json.ts';
import { CoreError, shortList } from '../../core/errors.ts';

/** An image as base64, its name, and some room. */
export const LINE_BYTES = Math.ceil((LIMITS.image_bytes * 4) / 3) + 64 * 1024;

/** Letters of a name, as the contract has it. */
const MOST_NAME = 512;
const FORMS = 'a line is {"custom_id"} with one of "text", "image", "content", "path", "uri", "tar" and "video"';

/** A line that is no text: longer than is allowed, or not UTF-8. */
export interface UnreadLine {
  error: CoreError;
  /** As far as it can be read, to find the name in it. */
  text: string;
  /** A line that makes the same error where it is read again. */
  bytes(): Uint8Array;
}

/** A line without its end, of `most` bytes at most. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<string | UnreadLine> {
  let parts: Uint8Array[] = [];
  let size = 0;
  let isTooLong = false;
  const add = (part: Uint8Array): void => {
    size += part.byteLength;
    isTooLong ||= size > most;
    if (isTooLong) parts = [];
    else parts.push(part);
  };
  const take = (): string | UnreadLine => {
    const line = isTooLong ? longLine(most) : textOf(wholeOf(parts, size));
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

function textOf(bytes: Uint8Array): string | UnreadLine {
  try {
    return strict.decode(bytes).replace(/\r$/, '');
  } catch {
    // What stands for its other bytes would be embedded, or be a part of a name, in their place.
    const error = new CoreError('malformed_json', 'the line is not UTF-8: write the file in that encoding.');
    return { error, text: lenient.decode(bytes), bytes: () => bytes };
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
const lenient = new TextDecoder();

function longLine(most: number): UnreadLine {
  return { error: tooLong(), text: '', bytes: () => new Uint8Array(most + 1).fill(LETTER) };
}

const LETTER = 'x'.charCodeAt(0);

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

function tooLong(): CoreError {
  return new CoreError('body_too_large', `the line has more than ${LINE_BYTES.toLocaleString('en-US')} bytes.`);
}

export const isBlank = (line: string | UnreadLine): boolean => typeof line === 'string' && line.trim() === '';

export function readLine(text: string | UnreadLine): BulkLine | CoreError {
  if (typeof text !== 'string') return text.error;
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
export const nameOf = (line: string | UnreadLine): string | null =>
  nameIn(jsonIn(typeof line === 'string' ? line : line.text));

export function nameIn(document: unknown): string | null {
  const name = fieldOf(document, 'custom_id');
  return typeof name === 'string' ? name : null;
}

function wrongIn(document: unknown): string {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return `${FORMS}.`;
  const { custom_id, ...others } = document as Record<string, unknown>;
  if (typeof custom_id !== 'string' || custom_id === '') return `${FORMS}; "custom_id" is not a text here.`;
  if (custom_id.length > MOST_NAME) return `"custom_id" has ${custom_id.length} characters, of at most ${MOST_NAME}.`;
  if (!isName(custom_id))
    return '"custom_id" has a NUL, or half of a surrogate pair, which no file of vectors can hold.';
  const keys = Object.keys(others);
  const [key] = keys;
  if (key !== undefined && keys.length === 1 && FORMS.includes(`"${key}"`))
    return `${FORMS}; the value of "${key}" is of another kind.`;
  return `${FORMS}; this one has ${shortList(keys, (name) => `"${name}"`) || 'none of them'}.`;
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
