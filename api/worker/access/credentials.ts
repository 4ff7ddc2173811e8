// The API key that a request carries, whichever header its client puts it into.

/** What clients send where no key was set: a JavaScript client stringifies the missing value. */
const NOTHING = new Set(['', 'undefined', 'null', 'none', 'Bearer', 'bearer']);

/**
 * OpenAI's, Cohere's, Jina's, Voyage's and Hugging Face's clients send `Authorization: Bearer`; some gateways `x-api-key`,
 * Azure's clients `api-key`. Undefined: none of them has anything in it.
 */
export function credentialOf({ headers }: Request): string | undefined {
  const bearer = (headers.get('authorization') ?? '').trim().replace(/^bearer\s+/i, '');
  for (const value of [bearer, headers.get('x-api-key'), headers.get('api-key')]) {
    const credential = (value ?? '').trim();
    if (!NOTHING.has(credential)) return credential;
  }
  return undefined;
}
