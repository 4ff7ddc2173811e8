// Requests about bulk jobs go on to the service that keeps them, with who asks; its answers and its errors come back.
import { ErrorBody } from '../../../contracts/src/api/error.ts';
import { COUNTED, LEFT_HEADERS, RETURNED_HEADERS, WORK_HEADERS } from '../../../contracts/src/bulk/quota.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

/** A key that names a request, as the draft of the header has it: any printable characters. */
const IDEMPOTENCY_KEY = /^[\x20-\x7e]{1,255}$/;

/** `path` at the service, which has the same addresses; without `body` the request has none. */
export async function passOn(call: Call, path: string, body?: BodyInit): Promise<Reply> {
  const response = await askJobs(call, path, body);
  if (response.headers.get('content-type') === 'application/json') return { json: await documentOf<object>(response) };
  const { status } = response;
  const headers: Record<string, string> = status === 304 ? {} : { 'Content-Type': 'application/octet-stream' };
  for (const name of OF_FILES) {
    const value = response.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  if (call.request.method !== 'HEAD') return { status, stream: response.body, headers };
  await response.body?.cancel();
  return { status, stream: null, headers };
}

/** Throws a CoreError where the answer breaks off or is no JSON: what was asked may have been done. */
export function documentOf<T>(response: Response): Promise<T> {
  return response.json<T>().catch((error: unknown) => {
    const message = `The service of bulk jobs did not answer to the end (${reasonOf(error)}). Ask again, with the same Idempotency-Key where something was begun.`;
    throw new CoreError('encoder_unavailable', message);
  });
}

/** What the service says of a file. */
const OF_FILES = ['Content-Length', 'Content-Range', 'Accept-Ranges', 'ETag', 'Cache-Control'];
/** What decides which bytes of a file are sent, if any. Nothing is a range of a head. */
const CONDITIONS = { GET: ['range', 'if-range', 'if-none-match'], HEAD: ['if-none-match'] };

/** What the service answers with; its errors are thrown. 201: something was begun that was not there before. */
export async function askJobs(call: Call, path: string, body?: BodyInit): Promise<Response> {
  const { request, deps, record, left } = call;
  const { jobs } = deps;
  if (!jobs) {
    const message =
      'Bulk jobs are not configured here (JOBS_STORE with keys or a role of AWS, or JOBS_URL). npm start has them; npm run encode runs them on a machine of yours.';
    throw new CoreError('not_configured', message);
  }
  const headers = new Headers({ 'x-request-id': record.requestId, 'x-owner': record.key ?? '' });
  const idempotencyKey = request.headers.get('idempotency-key');
  if (idempotencyKey !== null) headers.set('idempotency-key', checked(idempotencyKey));
  for (const name of CONDITIONS[request.method as keyof typeof CONDITIONS] ?? []) {
    const condition = request.headers.get(name);
    if (condition !== null) headers.set(name, condition);
  }
  for (const name of COUNTED) {
    const most = left?.[name] ?? null;
    if (most !== null) headers.set(LEFT_HEADERS[name], String(most));
  }
  // The service knows no HEAD, which is answered here with the head of what GET is answered with.
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const init = { method, headers, body: body ?? null, signal: request.signal };
  const response = await jobs(path, init);
  if (!response.ok && response.status !== 304) throw await errorOf(response);
  const countIn = (name: string): number => Number(response.headers.get(name) ?? 0);
  // Only of what was begun: under an Idempotency-Key it counts once.
  for (const name of COUNTED) record[name] += countIn(WORK_HEADERS[name]);
  if (response.headers.has(RETURNED_HEADERS.images))
    record.returned = { images: countIn(RETURNED_HEADERS.images), tokens: countIn(RETURNED_HEADERS.tokens) };
  return response;
}

/** Parameters of the address, which the service reads. */
export const queryOf = ({ request }: Call): string => new URL(request.url).search;

function checked(key: string): string {
  if (IDEMPOTENCY_KEY.test(key)) return key;
  throw new CoreError('invalid_request', 'An Idempotency-Key has 1 to 255 printable characters of ASCII.');
}

async function errorOf(response: Response): Promise<CoreError> {
  const body = ErrorBody.safeParse(await response.json().catch(() => undefined));
  if (!body.success) return new CoreError('encoder_error', `The service of bulk jobs answered ${response.status}.`);
  const { code, detail, error, item } = body.data;
  const [, size] = /^bytes \*\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? [];
  return new CoreError(code, detail, {
    ...(error.param === null ? {} : { param: error.param }),
    ...(item === undefined ? {} : { item }),
    ...(error.retry_after_seconds === undefined ? {} : { retryAfterSeconds: error.retry_after_seconds }),
    ...(size === undefined ? {} : { size: Number(size) }),
  });
}
