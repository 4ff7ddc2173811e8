// Anything thrown as a response: the error document in the form of its door, with its headers.
import type { ErrorCode } from '../../../contracts/src/api/error.ts';
import type { Door } from '../../../contracts/src/api/operation.ts';
import { errorDocument } from '../../core/error-document.ts';
import { CoreError } from '../../core/errors.ts';
import { DIALECTS } from './dialects.ts';

/** `headers`: further ones, such as Allow. */
export function renderError(
  thrown: unknown,
  record: { requestId: string; door: Door; code?: ErrorCode },
  headers: Record<string, string> = {},
): Response {
  const { requestId, door } = record;
  if (!(thrown instanceof CoreError)) console.error(requestId, thrown);
  const document = errorDocument(thrown, requestId);
  record.code = document.body.code;
  const body = DIALECTS[door](document.body);
  return new Response(JSON.stringify(body), {
    status: document.status,
    headers: { ...document.headers, ...headers },
  });
}
