// A bucket on this machine that speaks S3: PUT, GET, multipart uploads and lists over any store, for requests that are signed with its keys.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answering, HOST } from '../../../contracts/command/local-server.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import type { ObjectStore } from '../../registry/store.ts';
import { type Fault, NO_UPLOAD, Uploads } from './multipart.ts';
import { type BucketKeys, isSigned } from './signature.ts';

/** A body is held in memory. */
const MOST_BYTES = 256 * 1024 * 1024;

export interface BucketOptions {
  /** Its name; other buckets are not there. */
  bucket: string;
  keys: BucketKeys;
  /** What it holds; undefined: nothing yet, and nothing can be put. */
  store(): ObjectStore | undefined;
}

export interface LocalBucket {
  url: string;
  /** Requests that were refused for their signature. */
  refused: number;
  /** Multipart uploads that have begun and not ended. */
  readonly uploads: number;
  stop(): void;
}

/** GetObject, HeadObject, PutObject with its two conditions and both of its checksums, multipart uploads, and ListObjectsV2. */
export async function startBucket({ bucket, keys, store }: BucketOptions): Promise<LocalBucket> {
  const server = answering(answer, (response, error) =>
    fail(response, { status: 500, code: 'InternalError', reason: reasonOf(error) }),
  );
  const uploads = new Uploads();
  /** Of objects that were uploaded in parts. */
  const metadata = new Map<string, Record<string, string>>();
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!(await isSigned(request, keys))) {
      local.refused += 1;
      return fail(response, { status: 403, code: 'SignatureDoesNotMatch' });
    }
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://s3');
    const [, name, key = ''] = /^\/([^/]+)\/?(.*)$/.exec(decodeURIComponent(pathname)) ?? [];
    if (name !== bucket) return fail(response, { status: 404, code: 'NoSuchBucket' });
    if (searchParams.has('uploads') || searchParams.has('uploadId'))
      return upload(request, response, { key, asked: searchParams });
    if (request.method === 'PUT') return put(request, response, key);
    if (key === '') return list(response, searchParams);
    const found = await store()?.get(key);
    if (found === undefined) return fail(response, { status: 404, code: 'NoSuchKey' });
    const head = { ...metadata.get(key), etag: `"${found.etag}"`, 'content-length': found.size };
    if (request.method === 'HEAD') return void response.writeHead(200, head).end();
    // Read before a word is said: a store that fails here is an answer, too.
    const bytes = await found.bytes();
    response.writeHead(200, head).end(bytes);
  }
  async function put(request: IncomingMessage, response: ServerResponse, key: string): Promise<void> {
    const body = await bodyOf(request);
    if ('code' in body) return fail(response, body);
    const etag = await write(request, { key, body });
    if (typeof etag !== 'string') return fail(response, etag);
    metadata.delete(key);
    response.writeHead(200, { etag }).end();
  }
  async function upload(
    request: IncomingMessage,
    response: ServerResponse,
    { key, asked }: { key: string; asked: URLSearchParams },
  ): Promise<void> {
    const body = await bodyOf(request);
    if ('code' in body) return fail(response, body);
    const answered = (name: string, id: string): string =>
      `<${name}><Bucket>${bucket}</Bucket><Key>${xmlEncoded(key)}</Key>${id}</${name}>`;
    if (request.method === 'DELETE')
      return uploads.end(key, asked) ? void response.writeHead(204).end() : fail(response, NO_UPLOAD);
    if (request.method === 'PUT') {
      const etag = uploads.add(key, asked, body);
      return typeof etag === 'string'
        ? void response.writeHead(200, { etag: `"${etag}"` }).end()
        : fail(response, etag);
    }
    response.setHeader('content-type', 'application/xml');
    if (asked.has('uploads')) {
      const id = `<UploadId>${uploads.begin(key, request.headers)}</UploadId>`;
      return void response.writeHead(200).end(answered('InitiateMultipartUploadResult', id));
    }
    const joined = uploads.join(key, asked, new TextDecoder().decode(body));
    if ('code' in joined) return fail(response, joined);
    const etag = await write(request, { key, body: joined.bytes });
    if (typeof etag !== 'string') return fail(response, etag);
    uploads.end(key, asked);
    metadata.set(key, joined.metadata);
    response.writeHead(200).end(answered('CompleteMultipartUploadResult', `<ETag>${xmlEncoded(etag)}</ETag>`));
  }
  /** Under the request's conditions: the etag of what was written. */
  async function write({ headers }: IncomingMessage, { key, body }: { key: string; body: Uint8Array }) {
    const bound = store();
    if (bound === undefined) return { status: 503, code: 'ServiceUnavailable' };
    const etag = headers['if-match']?.replaceAll('"', '');
    const absent = headers['if-none-match'] === '*' ? ('absent' as const) : undefined;
    if (!(await bound.put(key, body, etag === undefined ? absent : { etag })))
      return { status: 412, code: 'PreconditionFailed' };
    return `"${(await bound.get(key))?.etag}"`;
  }
  async function list(response: ServerResponse, asked: URLSearchParams): Promise<void> {
    const most = Number(asked.get('max-keys') ?? 1000);
    const page = { after: asked.get('start-after') ?? undefined, most };
    const written = asked.get('encoding-type') === 'url' ? urlEncoded : xmlEncoded;
    const contents = ((await store()?.list(asked.get('prefix') ?? '', page)) ?? []).map(
      ({ key, size }) => `<Contents><Key>${written(key)}</Key><Size>${size}</Size></Contents>`,
    );
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.end(`<ListBucketResult><IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`);
  }

  await new Promise<void>((listening) => server.listen(0, HOST, listening));
  const local: LocalBucket = {
    url: `http://${HOST}:${(server.address() as AddressInfo).port}`,
    refused: 0,
    get uploads() {
      return uploads.size;
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
  return local;
}

/** A key as S3 lists it under `encoding-type=url`: as forms write it, but for the slash. */
const urlEncoded = (key: string): string => encodeURIComponent(key).replaceAll('%20', '+').replaceAll('%2F', '/');
const xmlEncoded = (key: string): string =>
  key.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** A fault where it is too large, or not what was signed. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array | Fault> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size <= MOST_BYTES) parts.push(part);
  }
  if (size > MOST_BYTES) return { status: 400, code: 'EntityTooLarge' };
  const body = new Uint8Array(Buffer.concat(parts));
  return isWhatWasSigned(request, body) ? body : { status: 400, code: 'BadDigest' };
}

/** Its own SHA-256 as the signature names it, in hexadecimal digits, or a checksum, in base64; without either whatever came. */
function isWhatWasSigned({ headers }: IncomingMessage, body: Uint8Array): boolean {
  const digest = createHash('sha256').update(body).digest();
  const signed = String(headers['x-amz-content-sha256'] ?? '');
  const checksum = headers['x-amz-checksum-sha256'] ?? digest.toString('base64');
  return (
    checksum === digest.toString('base64') && (!/^[0-9a-f]{64}$/.test(signed) || signed === digest.toString('hex'))
  );
}

function fail(response: ServerResponse, { status, code, reason = code }: Fault): void {
  const message = reason.replace(/[<&]/g, (each) => `&#${each.charCodeAt(0)};`);
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<Error><Code>${code}</Code><Message>${message}</Message></Error>`);
}
