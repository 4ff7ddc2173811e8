// The one error that routes throw and the one renderer that turns anything thrown into a response.
import { ERROR_STATUS, type ErrorBody, type ErrorCode } from '../../../contracts/src/api/error.ts';

interface Details {
  /** Path of the offending field, e.g. `input.3.text`. */
  param?: string;
  /** Index of the offending item. */
  item?: number;
  headers?: Record<string, string>;
}

/** `message` is a sentence for the caller: what the limit is and what was sent. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  readonly details: Details;
  constructor(code: ErrorCode, message: string, details: Details = {}) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.details = details;
  }
}

/** Problem details (RFC 9457) that also carry OpenAI's `error` member: each kind of client finds its sentence. */
export function renderError(thrown: unknown, requestId: string): Response {
  const error = thrown instanceof ApiError ? thrown : new ApiError('internal_error', 'The server failed to answer.');
  if (!(thrown instanceof ApiError)) console.error(requestId, thrown);
  const status = ERROR_STATUS[error.code];
  const { param, item, headers } = error.details;
  const body: ErrorBody = {
    type: `urn:edge-clip:error:${error.code}`,
    title: error.code.replaceAll('_', ' '),
    status,
    detail: error.message,
    code: error.code,
    request_id: requestId,
    ...(item === undefined ? {} : { item }),
    error: { message: error.message, type: openAiType(status), param: param ?? null, code: error.code },
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      'Content-Type': 'application/problem+json',
      ...(status === 429 || status === 503 ? { 'Retry-After': '1' } : {}),
      // The computation is pure: the same request would fail again, so SDKs are told not to repeat it.
      ...(status === 500 ? { 'x-should-retry': 'false' } : {}),
      ...headers,
    },
  });
}

function openAiType(status: number): string {
  if (status === 429) return 'rate_limit_error';
  if (status === 401) return 'authentication_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
