// Anything thrown as a response: the error document with its headers.
import { errorDocument } from '../../core/error-document.ts';
import { CoreError } from '../../core/errors.ts';

/** `headers`: further ones, such as Allow. */
export function renderError(thrown: unknown, requestId: string, headers: Record<string, string> = {}): Response {
  if (!(thrown instanceof CoreError)) console.error(requestId, thrown);
  const document = errorDocument(thrown, requestId);
  const { status, body } = document;
  return new Response(JSON.stringify(body), { status, headers: { ...document.headers, ...headers } });
}
