// Makes an API key: random characters that are shown once, and the document that is stored instead of them.
import { createHash, randomBytes } from 'node:crypto';
import { type ApiKey, PREFIX_CHARS } from '../../contracts/src/api/api-key.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';

const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 238 bits; without the shown prefix 190 are left. */
const CHARS = 40;

export type KeyTerms = Omit<ApiKey, 'schema_version' | 'digest' | 'prefix' | 'created_at' | 'revoked_at'>;

export interface NewKey {
  /** To be shown once and kept nowhere. */
  secret: string;
  key: ApiKey;
}

export function newKey(terms: KeyTerms, now: Date): NewKey {
  const secret = `ec_${randomCharacters(CHARS)}`;
  const digest = `sha256:${createHash('sha256').update(secret).digest('hex')}`;
  const created_at = now.toISOString();
  const prefix = secret.slice(0, PREFIX_CHARS);
  return {
    secret,
    key: { schema_version: SCHEMA_VERSION, digest, prefix, ...terms, created_at, revoked_at: null },
  };
}

function randomCharacters(count: number): string {
  let characters = '';
  while (characters.length < count) {
    // 248 is the largest multiple of 62 in a byte: larger ones would make the first letters more frequent.
    for (const byte of randomBytes(count)) if (byte < 248) characters += LETTERS[byte % LETTERS.length];
  }
  return characters.slice(0, count);
}
