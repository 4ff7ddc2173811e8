// Reads a request's body within the limit and turns JSON or a form into the document that the schema then checks.
import { LIMITS } from '../../../contracts/src/api/embed.ts';
import { toBase64 } from '../../core/base64.ts';
import { ApiError } from './errors.ts';

/** `forms`: whether multipart/form-data is taken too. */
export async function readDocument(request: Request, forms: boolean): Promise<unknown> {
  const type = request.headers.get('content-type') ?? 'application/json';
  const isForm = /^multipart\/form-data\s*;/i.test(type);
  if (!(isForm && forms) && !/^application\/(json|[\w.+-]+\+json)\s*(;|$)/i.test(type)) {
    const taken = `application/json${forms ? ' or multipart/form-data' : ''}`;
    const message = `The content type must be ${taken}, not ${type}. With curl: -H 'content-type: application/json'`;
    throw new ApiError('unsupported_media_type', message);
  }
  const bytes = await readLimited(request);
  if (isForm) return formDocument(await parseForm(bytes, type));
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (error) {
    throw new ApiError(
      'malformed_json',
      `The body is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Counts what really arrives: Content-Length may be absent or a lie. */
async function readLimited(request: Request): Promise<Uint8Array> {
  const declared = Number(request.headers.get('content-length') ?? 0);
  if (declared > LIMITS.body_bytes) throw tooLarge(declared);
  const chunks: Uint8Array[] = [];
  let size = 0;
  await readChunks(request, (chunk) => {
    size += chunk.length;
    if (size > LIMITS.body_bytes) throw tooLarge(size);
    chunks.push(chunk);
  });
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/**
 * Reads what a refusal left unread, up to as much again as a body may have. An answer before the body's end makes the
 * server close the connection under a client that is still sending, which then sees a broken pipe and no answer.
 */
export async function discardRest(request: Request): Promise<void> {
  let left: number = LIMITS.body_bytes;
  await readChunks(request, (chunk) => {
    left -= chunk.length;
    return left > 0;
  });
}

/** Until the end or until `take` throws or returns false; the rest can still be read afterwards. */
async function readChunks(request: Request, take: (chunk: Uint8Array) => unknown): Promise<void> {
  if (!request.body || request.body.locked) return;
  const reader = request.body.getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      if (take(read.value) === false) return;
    }
  } finally {
    reader.releaseLock();
  }
}

function tooLarge(size: number): ApiError {
  return new ApiError('body_too_large', `The body may have ${LIMITS.body_bytes} bytes; ${size} or more were sent.`);
}

async function parseForm(bytes: Uint8Array, type: string): Promise<FormData> {
  try {
    return await new Response(bytes, { headers: { 'content-type': type } }).formData();
  } catch {
    throw new ApiError(
      'invalid_request',
      'The body is not multipart/form-data with the boundary that its header names.',
    );
  }
}

/** `text` and `image` fields in the order sent become `input`; the other fields keep their names. */
async function formDocument(form: FormData): Promise<Record<string, unknown>> {
  const input: unknown[] = [];
  const types: string[] = [];
  const rest: Record<string, unknown> = {};
  for (const [name, value] of form) {
    if (name === 'image') input.push({ image: typeof value === 'string' ? value : toBase64(await fileBytes(value)) });
    else if (typeof value !== 'string')
      throw new ApiError('wrong_type', `Only image may be a file, not ${name}.`, { param: name });
    else if (name === 'text') input.push({ text: value });
    else if (name === 'types') types.push(...value.split(',').map((type) => type.trim()));
    else rest[name] = name === 'dimensions' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  }
  return { ...rest, input, ...(types.length > 0 ? { types } : {}) };
}

async function fileBytes(file: Blob): Promise<Uint8Array> {
  return new Uint8Array(await file.arrayBuffer());
}
