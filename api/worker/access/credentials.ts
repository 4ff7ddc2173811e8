// The API key that a request carries, whichever header its client puts it into.
import { API_KEY } from '../../../contracts/src/api/api-key.ts';

/** What clients send where no key was set: a JavaScript client stringifies the missing value. */
const NOTHING = new Set(['', 'undefined', 'null', 'none', 'Bearer', 'bearer']);

/**
 * OpenAI's, Cohere's, Jina's, Voyage's and Hugging Face's clients send `Authorization: Bearer`; some gateways `x-api-key`,
 * Azure's clients `api-key`. Undefined: none of them has anything in it.
 */
export function credentialOf({ headers }: Request): string | undefined {
  const bearer = (headers.get('authorization') ?? '').trim().replace(/^bearer\s+/i, '');
  const sent = [bearer, headers.get('x-api-key'), headers.get('api-key')]
    .map((value) => (value ?? '').trim())
    .filter((credential) => !NOTHING.has(credential));
  // Authorization may be for something before this service, such as a password of a proxy.
  return sent.find((credential) => API_KEY.test(credential)) ?? sent[0];
}
