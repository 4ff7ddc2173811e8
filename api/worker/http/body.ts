// Reads a request's body within the limits, as JSON or as a form. It is decoded while it arrives and never held as bytes.
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError, shortened } from '../../core/errors.ts';
import { type FormField, parseMultipart } from './multipart.ts';
import { chunksOf } from './stream.ts';

const AS_JSON = "-H 'content-type: application/json'";

/** A body of JSON. Anything else is refused. */
export async function readJson(request: Request): Promise<unknown> {
  const type = contentType(request);
  if (!isJson(type)) throw unsupported(type, 'application/json', AS_JSON);
  return parseJson(await decodeText(request, type));
}

/** A form. `how`: what makes one of curl. */
export async function readForm(request: Request, how = '-F file=@FILE'): Promise<FormField[]> {
  const type = contentType(request);
  if (!/^multipart\/form-data\s*(;|$)/i.test(type)) throw unsupported(type, 'multipart/form-data', how);
  return parseMultipart(chunksOf(request), type);
}

/** A body of JSON or a form. */
export async function readJsonOrForm(request: Request): Promise<{ json: unknown } | { form: FormField[] }> {
  const type = contentType(request);
  if (/^multipart\/form-data\s*(;|$)/i.test(type)) return { form: await parseMultipart(chunksOf(request), type) };
  const isFile = /^(image\/|video\/|application\/octet-stream)/i.test(type);
  const how = isFile ? '-F image=@FILE' : AS_JSON;
  if (!isJson(type)) throw unsupported(type, 'application/json or multipart/form-data', how);
  return { json: parseJson(await decodeText(request, type)) };
}

function contentType(request: Request): string {
  return request.headers.get('content-type') ?? 'application/json';
}

function isJson(type: string): boolean {
  return /^application\/(json|[\w.+-]+\+json)\s*(;|$)/i.test(type);
}

function unsupported(type: string, taken: string, how: string): CoreError {
  const [sent = ''] = type.split(';');
  const message = `The content type must be ${taken}, not ${shortened(sent)}. With curl: ${how}`;
  return new CoreError('unsupported_media_type', message);
}

async function decodeText(request: Request, type: string): Promise<string> {
  const [, charset] = /;\s*charset\s*=\s*"?([\w:.-]+)/i.exec(type) ?? [];
  if (charset && !/^(utf-?8|us-ascii)$/i.test(charset)) {
    throw new CoreError(
      'unsupported_media_type',
      `JSON is read as UTF-8, not as ${shortened(charset)}: encode the body as UTF-8.`,
    );
  }
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
  let text = '';
  let first: readonly (number | undefined)[] | undefined;
  try {
    for await (const chunk of chunksOf(request)) {
      first ??= [chunk[0], chunk[1]];
      text += decoder.decode(chunk, { stream: true });
    }
    text += decoder.decode();
  } catch (error) {
    if (error instanceof CoreError) throw error;
    if (isUtf16(first)) throw inUtf16();
    const isGzip = first?.[0] === 0x1f && first[1] === 0x8b;
    const problem = isGzip
      ? 'gzip, and its header does not say so: add content-encoding: gzip.'
      : 'not UTF-8, perhaps Latin-1 (Windows-1252): encode it as UTF-8.';
    throw new CoreError('malformed_json', `The body is ${problem}`);
  }
  // Without a mark at its beginning, ASCII in UTF-16 is valid UTF-8 with zeros in it.
  if (isUtf16(first)) throw inUtf16();
  return text;
}

/** Of the first two bytes. */
function isUtf16([a, b]: readonly (number | undefined)[] = []): boolean {
  return (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff) || (b !== undefined && (a === 0 || b === 0));
}

function inUtf16(): CoreError {
  return new CoreError(
    'malformed_json',
    'The body is UTF-16 (or UTF-32), and JSON is sent as UTF-8: encode it as UTF-8.',
  );
}

/** What other languages write: what the parser says of it, what stands in the body, and what JSON has instead. */
const SLIPS: { says: RegExp; has: RegExp; hint: string }[] = [
  { says: /token '[\]}]'|double-quoted/, has: /,\s*[\]}]/, hint: 'JSON has no comma behind the last entry.' },
  { says: /^Expected property|token '''/, has: /'|\{\s*\w/, hint: 'JSON has keys and texts in double quotes.' },
  { says: /token '[NTF]'/, has: /None|True|False|NaN/, hint: 'JSON has null, true and false, and no NaN.' },
  { says: /control character/, has: /[\n\r\t]/, hint: 'In a text, a line break is written \\n and a tab \\t.' },
];

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = reasonOf(error);
    const slip = SLIPS.find(({ says, has }) => says.test(reason) && has.test(text));
    const hint = slip ? `. ${slip.hint}` : '';
    throw new CoreError(
      'malformed_json',
      text === '' ? 'The body is empty.' : `The body is not JSON: ${reason}${hint}`,
    );
  }
}
