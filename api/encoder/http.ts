// One request to one answer, whatever host carries it: the local server and the Lambda entry are thin over this.
import { randomUUID } from 'node:crypto';
import type { core } from 'zod';
import { LIMITS } from '../../contracts/src/api/embed.ts';
import { EncodeRequest, type EncodeResponse } from '../../contracts/src/api/encode.ts';
import { ERROR_STATUS, type ErrorBody, type ErrorCode } from '../../contracts/src/api/error.ts';
import { isBase64 } from '../core/base64.ts';
import { readImageHeader } from '../core/image-header.ts';
import type { Admission } from './admission.ts';
import type { Towers } from './towers.ts';

export type Service = { towers: Towers; admission: Admission };
export type Request = { method: string; path: string; contentType?: string; requestId?: string; body: Uint8Array };
export type Answer = { status: number; headers: Record<string, string>; body: string };

/** What the Worker may receive as raw files it sends on as base64, which is a third longer, in a small document. */
export const BODY_BYTES = Math.ceil((LIMITS.body_bytes * 4) / 3) + 64 * 1024;

/** What the client did wrong or what the service cannot do now; `code` carries the status. */
export class Refusal extends Error {
  readonly code: ErrorCode;
  readonly headers: Record<string, string>;
  readonly param: string | null;
  constructor(code: ErrorCode, message: string, more: { headers?: Record<string, string>; param?: string } = {}) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
    this.headers = more.headers ?? {};
    this.param = more.param ?? null;
  }
}

export async function answer(service: Service, request: Request): Promise<Answer> {
  const requestId = request.requestId ?? randomUUID();
  try {
    return json(200, requestId, await route(service, request));
  } catch (error) {
    return problem(error, requestId);
  }
}

function route(service: Service, { method, path, contentType, body }: Request): Promise<object> | object {
  const routes: Record<string, string> = { '/encode': 'POST', '/health': 'GET' };
  const allowed = routes[path];
  if (allowed === undefined) throw new Refusal('not_found', `there is no ${path}: POST /encode and GET /health exist`);
  if (method !== allowed) {
    throw new Refusal('method_not_allowed', `${path} takes ${allowed}, not ${method}`, { headers: { allow: allowed } });
  }
  return path === '/health' ? health(service) : encodeImages(service, parse(body, contentType));
}

/** `space_id`: the current model's; `spaces`: of all towers that are open. */
function health({ towers, admission }: Service): object {
  const all = towers.manifests();
  const [{ name, version, space_id }] = all;
  const spaces = all.map((manifest) => manifest.space_id);
  return { status: 'ok', model: name, version, space_id, spaces, pending: admission.pending() };
}

function parse(body: Uint8Array, contentType: string | undefined): EncodeRequest {
  if (contentType !== undefined && !/^application\/json\s*(;|$)/i.test(contentType)) {
    throw new Refusal('unsupported_media_type', `/encode takes application/json, not ${contentType}`);
  }
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    throw new Refusal('malformed_json', `the body is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  const request = EncodeRequest.safeParse(document);
  if (request.success) return request.data;
  const [issue] = request.error.issues;
  const place = issue?.path.join('.') ?? '';
  throw new Refusal(codeOf(issue), `${place === '' ? 'the body' : place}: ${issue?.message}`, { param: place });
}

function codeOf(issue: core.$ZodIssue | undefined): ErrorCode {
  if (issue?.code === 'unrecognized_keys') return 'unknown_key';
  if (issue?.code === 'invalid_type') return 'wrong_type';
  if (issue?.code === 'too_small') return 'empty_input';
  return 'invalid_request';
}

async function encodeImages({ towers, admission }: Service, request: EncodeRequest): Promise<EncodeResponse> {
  const { space_id, images } = request;
  if (images.length > LIMITS.images) {
    const has = `${images.length} images were sent; at most ${LIMITS.images} are allowed`;
    throw new Refusal('too_many_items', `${has}: split the request`, { param: 'images' });
  }
  const tower = await towers.find(space_id);
  if (!tower) {
    const served = towers.manifests().map((manifest) => manifest.space_id);
    const has = `this encoder serves ${served.join(', ')}, the request is for ${space_id}`;
    throw new Refusal('space_mismatch', `${has}: vectors of two spaces must not be compared`, { param: 'space_id' });
  }
  // What is no base64 becomes no bytes, which are then judged like any other file that is not an image.
  const files = images.map((image) => (isBase64(image) ? Buffer.from(image, 'base64') : Buffer.alloc(0)));
  const pixels = files.reduce((sum, file) => sum + pixelsToDecode(file), 0);
  const release = admission.enter({ images: files.length, pixels });
  if (!release) throw overloaded(admission, 'images');
  try {
    return { space_id, results: await tower.encode(files) };
  } finally {
    release();
  }
}

/** Zero for a file that will be refused without decoding it. */
function pixelsToDecode(file: Uint8Array): number {
  const header = readImageHeader(file, true);
  if (typeof header === 'string') return 0;
  const pixels = header.width * header.height;
  return pixels > LIMITS.image_pixels ? 0 : pixels;
}

export function overloaded(admission: Admission, what: string): Refusal {
  const seconds = admission.retryAfter();
  const headers = { 'retry-after': String(seconds) };
  return new Refusal('overloaded', `too many ${what} are waiting: try again in ${seconds} s`, { headers });
}

/** Problem details that also carry OpenAI's `error` member. What is not a `Refusal` is our fault: logged, not shown. */
export function problem(error: unknown, requestId: string): Answer {
  if (!(error instanceof Refusal)) console.error(requestId, error);
  const refusal =
    error instanceof Refusal
      ? error
      : new Refusal('internal_error', 'the encoder failed; the log names the request id');
  const { code, message, param } = refusal;
  const status = ERROR_STATUS[code];
  const type = status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'api_error';
  const body: ErrorBody = {
    type: 'about:blank',
    title: code.replaceAll('_', ' '),
    status,
    detail: message,
    code,
    request_id: requestId,
    error: { message, type, param, code },
  };
  return json(status, requestId, body, { 'content-type': 'application/problem+json', ...refusal.headers });
}

function json(status: number, requestId: string, body: object, headers: Record<string, string> = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', 'x-request-id': requestId, ...headers },
    body: JSON.stringify(body),
  };
}
