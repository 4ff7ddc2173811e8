// The encoder's HTTP application: one request to one response. The local server and the Lambda entry are thin over it.

import { randomUUID } from 'node:crypto';
import {
  EncodeRequest,
  type EncodeResponse,
  type EncoderHealth,
  EncodeStaged,
} from '../../contracts/src/api/encode.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { uploadKey } from '../../contracts/src/keys.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import { errorDocument } from '../core/error-document.ts';
import { ADDRESS, CoreError, shortened } from '../core/errors.ts';
import { checkImage } from '../core/images/check.ts';
import { FRAME_TYPE, readFrame } from '../core/images/frame.ts';
import { parseRequest } from '../core/validation.ts';
import { isBase64 } from '../core/vectors/base64.ts';
import type { ObjectReader } from '../registry/store.ts';
import type { Admission } from './admission.ts';
import type { Towers } from './towers.ts';

export interface Service {
  towers: Towers;
  admission: Admission;
  /** Where files are that were too large for a call; absent: there are none. */
  uploads?: ObjectReader | undefined;
}
export interface HttpRequest {
  method: string;
  path: string;
  contentType?: string;
  requestId?: string;
  body: Uint8Array;
}
export interface HttpResponse {
  status: number;
  headers: Record<string, string>;
  body: string;
}

interface Asked {
  space_id: string;
  files: Uint8Array[];
}

/** What the Worker may receive as raw files it sends on as base64, which is a third longer, in a small document. */
export const BODY_BYTES = Math.ceil((LIMITS.body_bytes * 4) / 3) + 64 * 1024;

const ROUTES: Record<string, 'GET' | 'POST'> = { '/encode': 'POST', '/health': 'GET' };

export async function respond(service: Service, request: HttpRequest): Promise<HttpResponse> {
  const { method, path, contentType, body, requestId = randomUUID() } = request;
  try {
    const allowed = ROUTES[path];
    if (allowed === undefined) {
      throw new CoreError('not_found', `there is no ${shortened(path, ADDRESS)}: POST /encode and GET /health exist`);
    }
    if (method !== allowed) {
      const error = new CoreError('method_not_allowed', `${path} takes ${allowed}, not ${method}`);
      return errorResponse(error, requestId, { allow: allowed });
    }
    const answer =
      path === '/health' ? health(service) : await encode(service, await readAsked(service, parse(body, contentType)));
    return json({ status: 200, headers: { 'content-type': 'application/json' }, body: answer }, requestId);
  } catch (error) {
    return errorResponse(error, requestId);
  }
}

/** An error that is not a `CoreError` is our own fault: it is logged and not shown. */
export function errorResponse(error: unknown, requestId: string, headers: Record<string, string> = {}): HttpResponse {
  if (!(error instanceof CoreError)) console.error(requestId, error);
  const document = errorDocument(error, requestId);
  return json({ ...document, headers: { ...document.headers, ...headers } }, requestId);
}

export function overloaded(admission: Admission, what: string): CoreError {
  const seconds = admission.retryAfter();
  const message = `too many ${what} are waiting: try again in ${seconds} s`;
  return new CoreError('overloaded', message, { retryAfterSeconds: seconds });
}

export function bodyTooLarge(bytes: number): CoreError {
  const [size, limit] = [bytes.toLocaleString('en-US'), BODY_BYTES.toLocaleString('en-US')];
  return new CoreError('body_too_large', `the body has ${size} bytes or more; the limit is ${limit}`);
}

function health({ towers, admission }: Service): EncoderHealth {
  const all = towers.manifests();
  const [{ name, version, space_id }] = all;
  const spaces = all.map((manifest) => manifest.space_id);
  return { status: 'ok', model: name, version, space_id, spaces, pending: admission.pending() };
}

/** Files as they are, from the Worker, or as base64 in JSON, or by their digests. */
function parse(body: Uint8Array, contentType = 'application/json'): Asked | EncodeStaged {
  if (isType(contentType, FRAME_TYPE)) return readFrame(body);
  if (!isType(contentType, 'application/json')) {
    const message = `/encode takes application/json or ${FRAME_TYPE}, not ${shortened(contentType)}`;
    throw new CoreError('unsupported_media_type', message);
  }
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    throw new CoreError('malformed_json', `the body is not JSON: ${reasonOf(error)}`);
  }
  if (typeof document === 'object' && document !== null && 'staged' in document)
    return parseRequest(EncodeStaged, document);
  const { space_id, images } = parseRequest(EncodeRequest, document);
  // Text that is not base64 is checked as the bytes that it is: it is refused like any other file that is not an image.
  return { space_id, files: images.map((image) => Buffer.from(image, isBase64(image) ? 'base64' : 'utf8')) };
}

/** Staged files are read from where they are, one after the other: each is large. */
async function readAsked({ uploads }: Service, asked: Asked | EncodeStaged): Promise<Asked> {
  if ('files' in asked) return asked;
  if (uploads === undefined)
    throw new CoreError(
      'not_configured',
      `files are named by digests, and no store of uploads is set (${ENVARS.uploads})`,
    );
  const files: Uint8Array[] = [];
  for (const digest of asked.staged) {
    const object = await uploads.get(uploadKey(digest));
    if (object === undefined) throw new CoreError('not_found', `${digest} is not in the store of uploads`);
    if (object.size > LIMITS.image_bytes)
      throw new CoreError(
        'image_too_large',
        `${digest} has ${object.size} bytes; at most ${LIMITS.image_bytes} are read`,
      );
    files.push(await object.bytes());
  }
  return { space_id: asked.space_id, files };
}

function isType(contentType: string, type: string): boolean {
  return contentType.split(';', 1)[0]?.trim().toLowerCase() === type;
}

async function encode({ towers, admission }: Service, { space_id, files }: Asked): Promise<EncodeResponse> {
  if (files.length > LIMITS.images) {
    const has = `${files.length} images were sent; at most ${LIMITS.images} are allowed`;
    throw new CoreError('too_many_items', `${has}: split the request`, { param: 'images' });
  }
  const tower = await towers.find(space_id);
  if (!tower) {
    const served = towers.manifests().map((manifest) => manifest.space_id);
    const has = `this encoder serves ${served.join(', ')}, the request is for ${space_id}`;
    throw new CoreError('space_mismatch', `${has}: vectors of two spaces must not be compared`, { param: 'space_id' });
  }
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
  try {
    const { width, height } = checkImage(file);
    return width * height;
  } catch {
    return 0;
  }
}

function json(
  { status, headers, body }: { status: number; headers: Record<string, string>; body: object },
  requestId: string,
): HttpResponse {
  return { status, headers: { ...headers, 'x-request-id': requestId }, body: JSON.stringify(body) };
}
