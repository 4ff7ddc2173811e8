// API keys in a file of this machine that only its owner may read; one writer at a time.

import { existsSync } from 'node:fs';
import { readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ApiKey, ApiKeyFile } from '../../contracts/src/api/api-key.ts';
import { jsonIn } from '../../contracts/src/json.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import { codeOf, UserError } from '../../contracts/src/user-error.ts';
import { waitForLock } from '../registry/stores/process-lock.ts';
import { temporaryOf } from '../registry/stores/processes.ts';
import type { KeyStore } from './store.ts';

/** What `npm run keys` writes and `npm start` reads. */
export const KEY_FILE = fileURLToPath(new URL('../../keys.json', import.meta.url));

/** A command holds the lock for a moment only. */
const LOCK = { roles: { writer: process.pid }, pollMs: 20, staleMs: 10_000 };

export function openKeyFile(file: string): KeyStore {
  const list = async () => (await readKeyFile(file)) ?? [];
  return {
    name: file,
    list,
    async put(key) {
      // Behind a link, so that a server that reads the file by another name learns of it, too.
      const place = await placeOf(file);
      const lock = await waitForLock(`${place}.lock`, LOCK);
      try {
        const before = await list();
        // A changed key keeps its place: keys that were made in one millisecond have no other order.
        const known = before.some(({ digest }) => digest === key.digest);
        const keys = known ? before.map((each) => (each.digest === key.digest ? key : each)) : [...before, key];
        lock.check();
        await replace(place, { schema_version: SCHEMA_VERSION, keys: inOrder(keys) });
      } finally {
        lock.release();
      }
    },
  };
}

/** Where the file is that a link leads to. */
async function placeOf(file: string): Promise<string> {
  const place = await realpath(file).catch(() => file);
  if (existsSync(dirname(place))) return place;
  throw new UserError(`there is no folder ${dirname(place)}: make it first, or name another file`);
}

/** The keys of a file; undefined: there is none. */
export async function readKeyFile(file: string): Promise<ApiKey[] | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const parsed = ApiKeyFile.safeParse(jsonIn(text));
  if (parsed.success) return parsed.data.keys;
  const [issue] = parsed.error.issues;
  throw new UserError(`${file} is not a list of keys: ${issue?.path.join('.') || 'the file'}: ${issue?.message}`);
}

/** A reader finds the file before or the file after, never a part; it is its owner's alone from the first byte on. */
async function replace(file: string, document: ApiKeyFile): Promise<void> {
  const temporary = temporaryOf(file);
  try {
    await writeFile(temporary, `${JSON.stringify(document, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
}

export function inOrder(keys: readonly ApiKey[]): ApiKey[] {
  return [...keys].sort((one, other) => Date.parse(one.created_at) - Date.parse(other.created_at));
}
