// Anything thrown as a response: the error document in the form of its door, with its headers.
import type { Door } from '../../../contracts/src/api/operation.ts';
import { errorDocument } from '../../core/error-document.ts';
import { CoreError } from '../../core/errors.ts';
import { DIALECTS } from './dialects.ts';

/** `headers`: further ones, such as Allow. */
export function renderError(
  thrown: unknown,
  { requestId, door }: { requestId: string; door: Door },
  headers: Record<string, string> = {},
): Response {
  if (!(thrown instanceof CoreError)) console.error(requestId, thrown);
  const document = errorDocument(thrown, requestId);
  const body = DIALECTS[door](document.body);
  return new Response(JSON.stringify(body), {
    status: document.status,
    headers: { ...document.headers, ...headers },
  });
}
