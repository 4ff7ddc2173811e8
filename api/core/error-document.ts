// The error document of the Worker and of the image encoder. Their HTTP hosts turn it into responses.
import { ERROR_STATUS, type ErrorBody, type ErrorCode, type ErrorMember } from '../../contracts/src/api/error.ts';
import { CoreError } from './errors.ts';

const UNTIL_SOMEBODY_ACTS = new Set<ErrorCode>(['quota_exceeded', 'not_configured']);

export interface ErrorDocument {
  status: number;
  headers: Record<string, string>;
  body: ErrorBody;
}

/**
 * Problem details (RFC 9457) that also carry OpenAI's `error` member, so that both kinds of client find the sentence.
 * Anything that is not a `CoreError` is our own fault: it stays inside, and the host logs it.
 */
export function errorDocument(thrown: unknown, requestId: string): ErrorDocument {
  const error = thrown instanceof CoreError ? thrown : new CoreError('internal_error', 'The server failed to answer.');
  const { code, message } = error;
  const { item, size } = error.details;
  const status = ERROR_STATUS[code];
  const seconds = secondsToWait(error);
  return {
    status,
    headers: {
      'Content-Type': 'application/problem+json',
      ...(seconds === undefined ? {} : { 'Retry-After': String(seconds) }),
      ...(size === undefined ? {} : { 'Content-Range': `bytes */${size}` }),
      ...(status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
      // The same request would fail again, and again within its client's patience: SDKs are told not to repeat it.
      ...(status === 500 || UNTIL_SOMEBODY_ACTS.has(code) ? { 'x-should-retry': 'false' } : {}),
    },
    body: {
      type: `urn:edge-clip:error:${code}`,
      title: code.replaceAll('_', ' '),
      status,
      detail: message,
      code,
      request_id: requestId,
      ...(item === undefined ? {} : { item }),
      error: errorMember(error),
    },
  };
}

/** The same problem in OpenAI's form. */
export function errorMember(error: CoreError): ErrorMember {
  const { code, message, details } = error;
  const seconds = secondsToWait(error);
  return {
    message,
    type: openAiType(code, ERROR_STATUS[code]),
    param: details.param ?? null,
    code,
    ...(seconds === undefined ? {} : { retry_after_seconds: seconds }),
  };
}

/** Undefined where asking again would not help. A quota lasts for a month, unless whoever counts says for how long. */
function secondsToWait({ code, details: { retryAfterSeconds } }: CoreError): number | undefined {
  const isTemporary = [429, 503, 504].includes(ERROR_STATUS[code]) && !UNTIL_SOMEBODY_ACTS.has(code);
  return retryAfterSeconds ?? (isTemporary ? 1 : undefined);
}

function openAiType(code: ErrorCode, status: number): string {
  if (code === 'quota_exceeded') return 'insufficient_quota';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  if (status === 401) return 'authentication_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
