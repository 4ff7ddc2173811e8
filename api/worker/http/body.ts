// Reads a request's body within the limit, as JSON or as a form.
import { LIMITS } from '../../../contracts/src/api/embed.ts';
import { CoreError } from '../../core/errors.ts';

/** A body of JSON. Anything else is refused. */
export async function readJson(request: Request): Promise<unknown> {
  const type = contentType(request);
  if (!isJson(type)) throw unsupported(type, 'application/json');
  return parseJson(await readLimited(request));
}

/** A body of JSON or a form. */
export async function readJsonOrForm(request: Request): Promise<{ json: unknown } | { form: FormData }> {
  const type = contentType(request);
  if (/^multipart\/form-data\s*;/i.test(type)) return { form: await parseForm(await readLimited(request), type) };
  if (!isJson(type)) throw unsupported(type, 'application/json or multipart/form-data');
  return { json: parseJson(await readLimited(request)) };
}

function contentType(request: Request): string {
  return request.headers.get('content-type') ?? 'application/json';
}

function isJson(type: string): boolean {
  return /^application\/(json|[\w.+-]+\+json)\s*(;|$)/i.test(type);
}

function unsupported(type: string, taken: string): CoreError {
  const message = `The content type must be ${taken}, not ${type}. With curl: -H 'content-type: application/json'`;
  return new CoreError('unsupported_media_type', message);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CoreError('malformed_json', `The body is not JSON: ${reason}`);
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

function tooLarge(size: number): CoreError {
  return new CoreError('body_too_large', `The body may have ${LIMITS.body_bytes} bytes; ${size} or more were sent.`);
}

async function parseForm(bytes: Uint8Array, type: string): Promise<FormData> {
  try {
    return await new Response(bytes, { headers: { 'content-type': type } }).formData();
  } catch {
    throw new CoreError(
      'invalid_request',
      'The body is not multipart/form-data with the boundary that its header names.',
    );
  }
}
