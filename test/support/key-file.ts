// A key file with a key of every kind, for a server that asks for keys.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKeyFile } from '../../api/keys/file-store.ts';
import { type KeyTerms, newKey } from '../../api/keys/new-key.ts';
import type { ApiKey } from '../../contracts/src/api/api-key.ts';
import type { Kind } from '../conformance/requests.ts';

const TERMS: KeyTerms = {
  name: 'test',
  scopes: ['embed'],
  expires_at: null,
  rate: { requests_per_minute: 100_000 },
  quota: { tokens_per_month: null, images_per_month: null },
};

/** What tells each kind from an ordinary key. */
const KINDS: Record<Kind, Partial<ApiKey>> = {
  good: {},
  jobs: { scopes: ['jobs'] },
  admin: { scopes: ['admin'] },
  revoked: { revoked_at: '2026-01-02T03:04:05Z' },
  expired: { expires_at: '2026-02-03T04:05:06Z' },
  slow: { rate: { requests_per_minute: 1 } },
  spent: { quota: { tokens_per_month: 0, images_per_month: null } },
};

export interface KeyFile {
  file: string;
  /** The keys themselves. */
  secrets: Record<Kind, string>;
  add(terms: Partial<ApiKey>): Promise<string>;
  remove(): void;
}

export async function makeKeyFile(): Promise<KeyFile> {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'));
  const file = join(folder, 'keys.json');
  const store = openKeyFile(file);
  const add = async (terms: Partial<ApiKey>): Promise<string> => {
    const { secret, key } = newKey(TERMS, new Date());
    await store.put({ ...key, ...terms });
    return secret;
  };
  const secrets: Partial<Record<Kind, string>> = {};
  for (const [kind, terms] of Object.entries(KINDS)) secrets[kind as Kind] = await add(terms);
  return { file, secrets: secrets as Record<Kind, string>, add, remove: () => rmSync(folder, { recursive: true }) };
}
