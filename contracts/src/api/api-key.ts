// An API key as it is stored: everything about it but the key itself, of which only the digest is kept.
import * as z from 'zod';
import { Digest } from '../model/artefact.ts';
import { SchemaVersion } from '../schema-version.ts';
import { SCOPES } from './operation.ts';

/** What a key looks like: `ec_` and at least 32 letters or digits, which are more than 190 bits. */
export const API_KEY = /^ec_[0-9A-Za-z]{32,128}$/;
/** So many of its first characters are shown, in lists and in logs: `ec_` and eight more. */
export const PREFIX_CHARS = 11;

const amount = z.int().nonnegative().max(Number.MAX_SAFE_INTEGER).nullable();

export const ApiKey = z
  .strictObject({
    schema_version: SchemaVersion,
    digest: Digest.describe('SHA-256 of the whole key. The key itself is stored nowhere.'),
    prefix: z
      .string()
      .regex(/^ec_[0-9A-Za-z]{8}$/)
      .describe('First characters of the key: what lists and logs show.'),
    name: z.string().min(1).max(200).describe('Whose key it is, or what for: for people.'),
    scopes: z
      .array(z.enum(SCOPES))
      .min(1)
      .describe('What it is good for: `embed` (every answer of the model), `jobs` (bulk jobs), `admin` (metrics).'),
    created_at: z.iso.datetime().describe('When it was made, in UTC.'),
    expires_at: z.iso.datetime().nullable().describe('From then on it is refused; null: it does not expire.'),
    revoked_at: z.iso.datetime().nullable().describe('Since then it is refused; null: it is not revoked.'),
    rate: z
      .strictObject({
        requests_per_minute: z.int().positive().max(1_000_000).describe('Requests in a window of 60 seconds.'),
      })
      .describe('How fast it may ask.'),
    quota: z
      .strictObject({
        tokens_per_month: amount.describe('Tokens of texts in a calendar month of UTC; null: as many as it likes.'),
        images_per_month: amount.describe('Images in a calendar month of UTC; null: as many as it likes.'),
      })
      .describe('How much it may ask for.'),
  })
  .meta({ title: 'ApiKey', description: 'Whom the service answers, and how much: one document for each key.' });
export type ApiKey = z.infer<typeof ApiKey>;

export const ApiKeyFile = z
  .strictObject({
    schema_version: SchemaVersion,
    keys: z.array(ApiKey).describe('In the order in which they were made.'),
  })
  .meta({ title: 'ApiKeyFile', description: '`keys.json`: the keys that a server on this machine accepts.' });
export type ApiKeyFile = z.infer<typeof ApiKeyFile>;
