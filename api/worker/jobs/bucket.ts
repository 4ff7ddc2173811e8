// A bucket of AWS as an object store, by signed calls: what bulk jobs are kept in where AWS Batch runs them.

import { hexOf } from '../../../contracts/src/keys.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { sha256 } from '../../registry/digest.ts';
import {
  bytesOf,
  type Condition,
  inTime,
  type Listed,
  type ObjectStore,
  rangeHeader,
  storedObject,
} from '../../registry/store.ts';
import { type BucketOptions, openSignedBucket } from '../aws/signed-fetch.ts';
import { textIn } from '../aws/xml.ts';
import { sleep } from '../isolate/lease.ts';

/** S3 lists no more in a call. */
const PAGE_KEYS = 1000;
/** For one call, its body included where this place reads it; an object is at most some 64 MiB. For each piece of a download. */
const CALL_MS = 60_000;
/** S3 answers 503 to many calls at a time: the same call comes through a moment later. */
const AGAIN_MS = [200, 800] as const;

/** `callMs`: after that a call is given up. */
export function openBucket({ callMs = CALL_MS, ...options }: BucketOptions & { callMs?: number }): ObjectStore {
  const { uri } = options;
  const { root, signed } = openSignedBucket(options);

  /** Statuses of `expected` are an answer. */
  async function send(path: string, init: RequestInit, expected: number[] = []): Promise<Response> {
    for (let times = 0; ; times++) {
      const response = await signed(`${root}/${path}`, { signal: AbortSignal.timeout(callMs), ...init }).catch(
        (error: unknown) => {
          throw unavailable(reasonOf(error));
        },
      );
      if (response.ok || expected.includes(response.status)) return response;
      const said = await response.text().catch(lost);
      const wait = AGAIN_MS[times];
      if (response.status < 500 || wait === undefined) {
        throw unavailable(`it answered ${response.status} ${textIn(said, 'Code') ?? ''}`.trimEnd());
      }
      await sleep(wait);
    }
  }

  /** Undefined where there is no such object. */
  async function getObject(key: string, init: RequestInit = {}): Promise<Response | undefined> {
    const response = await send(pathOf(key), { method: 'GET', ...init }, [404]);
    if (response.status !== 404) return response;
    const said = await response.text().catch(lost);
    if (said.includes('NoSuchBucket')) throw unavailable(`there is no bucket ${uri}`);
    return undefined;
  }

  return {
    uri,
    async read(key, range) {
      // Whoever downloads reads as fast as their line is: only S3 is waited for.
      const stop = new AbortController();
      const late = () => {
        const error = new DOMException('S3 does not answer', 'TimeoutError');
        stop.abort(error);
        return error;
      };
      const timer = setTimeout(late, callMs);
      const reading = getObject(key, { headers: { range: rangeHeader(range) }, signal: stop.signal });
      const response = await reading.finally(() => clearTimeout(timer));
      return response && piecesOf(response, (body) => inTime(body, { ms: callMs, late }));
    },
    async get(key) {
      const response = await getObject(key);
      if (!response) return undefined;
      const { headers } = response;
      const bytes = async () => new Uint8Array(await response.arrayBuffer().catch(lost));
      const size = Number(headers.get('content-length'));
      return storedObject({ size, etag: headers.get('etag') ?? '', bytes, stream: () => piecesOf(response) });
    },
    async put(key, body, condition) {
      const content = await bytesOf(body);
      // S3 compares what arrives with the signed digest, and keeps nothing else.
      const headers = { 'x-amz-content-sha256': hexOf(await sha256(content)), ...toHeaders(condition) };
      // 412: another object is there; 409: another write of the same key is under way; 404: none is there any more.
      const refused = condition === undefined ? [] : [404, 409, 412];
      const response = await send(pathOf(key), { method: 'PUT', headers, body: content }, refused);
      await response.body?.cancel();
      return response.ok;
    },
    async list(prefix, { after, most = Infinity } = {}) {
      const found: Listed[] = [];
      let token = '';
      do {
        const query = new URLSearchParams({ 'list-type': '2', 'encoding-type': 'url', prefix });
        query.set('max-keys', String(Math.min(PAGE_KEYS, most - found.length)));
        if (after !== undefined) query.set('start-after', after);
        if (token !== '') query.set('continuation-token', token);
        const page = await (await send(`?${query}`, { method: 'GET' })).text().catch(lost);
        for (const [, contents = ''] of page.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g))
          found.push({
            key: keyIn(textIn(contents, 'Key') ?? ''),
            size: Number(textIn(contents, 'Size')),
          });
        token = plain(textIn(page, 'NextContinuationToken') ?? '');
      } while (token !== '' && found.length < most);
      return found;
    },
  };
}

/** Of `encoding-type=url`, by which S3 writes a space as a form does. */
const keyIn = (text: string): string => decodeURIComponent(text.replaceAll('+', '%20'));

const pathOf = (key: string): string => key.split('/').map(encodeURIComponent).join('/');

function toHeaders(condition: Condition | undefined): Record<string, string> {
  if (condition === undefined) return {};
  return condition === 'absent' ? { 'if-none-match': '*' } : { 'if-match': condition.etag };
}

/** Of the text of an element, which writes what has a meaning in XML as entities. */
function plain(text: string): string {
  const entities: Record<string, string> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'" };
  return text.replace(/&\w+;/g, (entity) => entities[entity] ?? entity);
}

type Pieces = AsyncIterable<Uint8Array>;

async function* piecesOf({ body }: Response, read = (pieces: Pieces): Pieces => pieces): AsyncGenerator<Uint8Array> {
  try {
    if (body) yield* read(body as ReadableStream<Uint8Array>);
  } catch (error) {
    lost(error);
  }
}

/** An answer that broke off, or whose end did not come in time. */
function lost(error: unknown): never {
  throw unavailable(reasonOf(error));
}

function unavailable(reason: string): CoreError {
  const message = `The store of bulk jobs is not available (${reason}). Requests are answered all the same.`;
  return new CoreError('encoder_unavailable', message, { retryAfterSeconds: 5 });
}
