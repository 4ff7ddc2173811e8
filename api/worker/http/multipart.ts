// Reads multipart/form-data (RFC 7578) while it arrives: of a file there are its bytes, once, and of a text its characters.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { CoreError, shortened } from '../../core/errors.ts';

export interface FormField {
  name: string;
  /** Bytes of a part that has a file's name or says that it is not text. */
  value: string | Uint8Array;
  /** Of a part that has one. */
  filename?: string;
}

/** Options beside the items. */
const FIELDS: number = LIMITS.items + 16;
const HEADER_BYTES = 8 * 1024;
const [TAB, LF, CR, SPACE, DASH] = [9, 10, 13, 32, 45] as const;
const LINE_END = Uint8Array.of(CR, LF);
const HEADER_END = Uint8Array.of(CR, LF, CR, LF);

export async function parseMultipart(chunks: AsyncIterable<Uint8Array>, contentType: string): Promise<FormField[]> {
  const reader = createReader(delimiterOf(contentType));
  for await (const chunk of chunks) reader.take(chunk);
  return reader.end();
}

function delimiterOf(contentType: string): Uint8Array {
  const [, quoted, plain] = /;\s*boundary\s*=\s*(?:"([^"]+)"|([^\s;,"]+))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain ?? '';
  if (boundary === '' || boundary.length > 200) {
    throw new CoreError(
      'invalid_request',
      'A form has a boundary in its content type, which is missing: let your client write that header, with curl -F.',
    );
  }
  return new TextEncoder().encode(`\r\n--${boundary}`);
}

interface Part {
  name: string;
  isFile: boolean;
  filename?: string | undefined;
}

function createReader(delimiter: Uint8Array) {
  const fields: FormField[] = [];
  let state: 'preamble' | 'delimiter' | 'header' | 'content' | 'epilogue' = 'preamble';
  // The first delimiter may stand at the very beginning, without the line end that belongs to it.
  let pending: Uint8Array = LINE_END;
  let part: Part | undefined;
  let content: Uint8Array[] = [];

  const steps = { preamble: readContent, content: readContent, delimiter: readDelimiterEnd, header: readHeader };

  function readContent(): boolean {
    const at = indexOf(pending, delimiter);
    // A delimiter may have begun at the end of what is here.
    const size = at >= 0 ? at : Math.max(0, pending.length - delimiter.length + 1);
    if (part && size > 0) content.push(pending.subarray(0, size));
    pending = pending.subarray(at >= 0 ? at + delimiter.length : size);
    if (at < 0) return false;
    // What comes first is the end of the empty line that ends the header, unless the field is empty without one.
    if (part) fields.push(toField(part, joined(content).subarray(LINE_END.length)));
    if (fields.length > FIELDS) {
      throw new CoreError('too_many_items', `A form may have ${FIELDS} fields; more were sent.`);
    }
    part = undefined;
    content = [];
    state = 'delimiter';
    return true;
  }

  function readDelimiterEnd(): boolean {
    let at = 0;
    while (pending[at] === SPACE || pending[at] === TAB) at++;
    // Each chunk would be joined with all the blanks before it, and look at them again.
    if (at > HEADER_BYTES) throw malformed('the line of a boundary is too long');
    if (pending.length < at + 2) return false;
    if (pending[at] === DASH && pending[at + 1] === DASH) state = 'epilogue';
    else if (pending[at] === CR && pending[at + 1] === LF) state = 'header';
    else throw malformed('something stands behind its boundary');
    // The line end stays: it is the beginning of an empty line where a field has no header.
    pending = pending.subarray(at);
    return true;
  }

  function readHeader(): boolean {
    const at = indexOf(pending, HEADER_END);
    if (at > HEADER_BYTES || (at < 0 && pending.length > HEADER_BYTES)) {
      throw malformed('the header of a field is too long');
    }
    if (at < 0) return false;
    part = readPartHeader(new TextDecoder().decode(pending.subarray(0, at)));
    pending = pending.subarray(at + LINE_END.length);
    state = 'content';
    return true;
  }

  return {
    take(chunk: Uint8Array): void {
      pending = pending.length === 0 ? chunk : joined([pending, chunk]);
      while (state !== 'epilogue' && steps[state]());
      if (state === 'epilogue') pending = LINE_END.subarray(2);
    },
    end(): FormField[] {
      if (state === 'preamble') throw malformed('the boundary that its content type names does not occur');
      if (state !== 'epilogue') throw malformed('its end is missing, so that something was cut off');
      return fields;
    },
  };
}

function readPartHeader(header: string): Part {
  const lines = header.split('\r\n');
  const headerOf = (name: string) =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const said = parametersOf(headerOf('content-disposition') ?? '');
  const name = said.get('name');
  if (name === undefined) throw malformed('a field has no name');
  const encoding = headerOf('content-transfer-encoding')?.toLowerCase() ?? 'binary';
  if (!['7bit', '8bit', 'binary'].includes(encoding)) {
    const message = `The field ${shortened(name)} is sent as ${shortened(encoding)}: the bytes of a file are sent as they are, and text as UTF-8.`;
    throw new CoreError('unsupported_media_type', message, { param: name });
  }
  const type = headerOf('content-type') ?? 'text/plain';
  const isFile = said.has('filename') || said.has('filename*') || !/^text\/plain\b/i.test(type);
  return { name, isFile, filename: said.get('filename') };
}

/** One parameter of a header, whose value may be quoted: what looks like another one in there belongs to it. */
const PARAMETER = /;\s*([\w*-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|"([^"]*)"|([^\s;"]*))/g;

/** By their names in lower case; of several of one name the first. */
function parametersOf(header: string): Map<string, string> {
  const said = new Map<string, string>();
  for (const [, name = '', escaped, quoted, plain = ''] of header.matchAll(PARAMETER)) {
    const key = name.toLowerCase();
    // A backslash belongs to a file's name, unless it stands before a quote.
    const value = escaped?.replace(key === 'filename' ? /\\(")/g : /\\(.)/g, '$1') ?? quoted ?? plain;
    if (!said.has(key)) said.set(key, value);
  }
  return said;
}

function toField({ name, isFile, filename }: Part, bytes: Uint8Array): FormField {
  if (isFile) return { name, value: bytes, ...(filename ? { filename } : {}) };
  try {
    return { name, value: new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes) };
  } catch {
    const message = `The field ${shortened(name)} is not UTF-8, perhaps Latin-1 (Windows-1252): encode it as UTF-8.`;
    throw new CoreError('invalid_request', message, { param: name });
  }
}

function malformed(problem: string): CoreError {
  return new CoreError('invalid_request', `The body is not a whole multipart/form-data: ${problem}.`);
}

function joined(parts: Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  const first = wanted[0] ?? 0;
  for (let at = bytes.indexOf(first); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (at + wanted.length > bytes.length) return -1;
    let same = 1;
    while (same < wanted.length && bytes[at + same] === wanted[same]) same++;
    if (same === wanted.length) return at;
  }
  return -1;
}
