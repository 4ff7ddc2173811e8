// The Worker as an issuer of OpenID Connect: tokens that say who it is, signed with its own key, and the two documents by which AWS
// checks them. https://openid.net/specs/openid-connect-discovery-1_0.html, RFC 7517 (keys), RFC 7519 (tokens)

import * as z from 'zod';
import { jsonIn } from '../../../contracts/src/json.ts';
import { WORKER_TOKEN } from '../../../contracts/src/outputs.ts';
import { once } from '../isolate/once.ts';

const TOKEN_SECONDS = 300;

/** A private key on P-256, as `crypto.subtle.exportKey('jwk', …)` writes it. */
const PrivateKey = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string().min(1),
  y: z.string().min(1),
  d: z.string().min(1),
});
type PrivateKey = z.infer<typeof PrivateKey>;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' };

export interface Issuer {
  /** What is answered by path, to anybody. */
  documents: ReadonlyMap<string, () => Promise<object>>;
  /** A token that is good for some minutes. */
  token(): Promise<string>;
}

/**
 * `url`: where this Worker answers, without a slash at the end. `keys`: a private key as JSON, or a list of them. The first one signs;
 * the public halves of all are shown, so that a key can be replaced while tokens of the one before are still good. Throws where `keys`
 * is neither.
 */
export function createIssuer({ url, keys }: { url: string; keys: string }): Issuer {
  const privates = parseKeys(keys);
  const [first] = privates;
  const shown = once(async () => ({ keys: await Promise.all(privates.map(publicKey)) }));
  const signing = once(async () => ({
    kid: await thumbprint(first),
    key: await crypto.subtle.importKey('jwk', first, ALGORITHM, false, ['sign']),
  }));
  return {
    documents: new Map<string, () => Promise<object>>([
      [
        '/.well-known/openid-configuration',
        async () => ({
          issuer: url,
          jwks_uri: `${url}/.well-known/jwks.json`,
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256'],
        }),
      ],
      ['/.well-known/jwks.json', shown],
    ]),
    async token() {
      const { kid, key } = await signing();
      const now = Math.floor(Date.now() / 1000);
      const claims = {
        iss: url,
        sub: WORKER_TOKEN.subject,
        aud: WORKER_TOKEN.audience,
        iat: now,
        exp: now + TOKEN_SECONDS,
        jti: crypto.randomUUID(),
      };
      const signed = `${base64url(text({ alg: 'ES256', typ: 'JWT', kid }))}.${base64url(text(claims))}`;
      // Web Crypto writes the two numbers of a signature one after the other, as RFC 7518 wants them.
      const signature = await crypto.subtle.sign(
        { name: 'ECDSA', hash: 'SHA-256' },
        key,
        new TextEncoder().encode(signed),
      );
      return `${signed}.${base64url(new Uint8Array(signature))}`;
    },
  };
}

function parseKeys(keys: string): [PrivateKey, ...PrivateKey[]] {
  const parsed = z.union([PrivateKey.transform((key) => [key]), z.array(PrivateKey).min(1)]).safeParse(jsonIn(keys));
  const [first, ...others] = parsed.data ?? [];
  if (first === undefined)
    throw new TypeError(
      'WORKER_IDENTITY is neither a private key on P-256 as a JSON Web Key nor a list of them (infra/README.md)',
    );
  return [first, ...others];
}

async function publicKey(key: PrivateKey): Promise<object> {
  const { kty, crv, x, y } = key;
  return { kty, crv, x, y, use: 'sig', alg: 'ES256', kid: await thumbprint(key) };
}

/** RFC 7638: the digest of the public half, its members in this order and without spaces. */
async function thumbprint({ crv, kty, x, y }: PrivateKey): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', text({ crv, kty, x, y }));
  return base64url(new Uint8Array(digest));
}

const text = (value: object) => new TextEncoder().encode(JSON.stringify(value));

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}
