// API keys in Workers KV, through wrangler, which knows who is logged in and what the binding KEYS stands for.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import * as z from 'zod';
import { ApiKey } from '../../contracts/src/api/api-key.ts';
import { API_KEYS, apiKeyKey } from '../../contracts/src/keys.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { inOrder } from './file-store.ts';
import type { KeyStore } from './store.ts';

/** Name in wrangler.toml of the namespace. */
export const KEYS_BINDING = 'KEYS';
/** `wrangler kv bulk get` takes this many names. */
const BULK = 100;

export interface KvOptions {
  /** wrangler.toml, which names the namespace. */
  config: string;
  /** Where wrangler keeps the namespaces of this machine; undefined: the namespace of the account, in the cloud. */
  local?: { folder: string | undefined } | undefined;
  /** Instead of what the configuration says. */
  namespaceId?: string | undefined;
}

const Names = z.array(z.object({ name: z.string() }));
const Values = z.record(z.string(), z.object({ value: z.string().nullable() }));

export function openKv({ config, local, namespaceId }: KvOptions): KeyStore {
  const place = [
    ...(namespaceId === undefined ? ['--binding', KEYS_BINDING] : ['--namespace-id', namespaceId]),
    ...(local === undefined ? ['--remote'] : ['--local']),
    ...(local?.folder === undefined ? [] : ['--persist-to', local.folder]),
    ...['--config', config],
  ];
  const kv = (...args: string[]) => wrangler(['kv', ...args, ...place]);
  return {
    name: `${local === undefined ? 'Workers KV' : "wrangler's local KV"} (${namespaceId ?? KEYS_BINDING})`,
    async list() {
      const names = Names.parse(JSON.parse(await kv('key', 'list', '--prefix', API_KEYS))).map(({ name }) => name);
      const keys: ApiKey[] = [];
      for (let at = 0; at < names.length; at += BULK) {
        const values = await inFile(names.slice(at, at + BULK), (file) => kv('bulk', 'get', file));
        for (const { value } of Object.values(Values.parse(JSON.parse(values)))) {
          if (value !== null) keys.push(ApiKey.parse(JSON.parse(value)));
        }
      }
      return inOrder(keys);
    },
    async put(key) {
      await kv('key', 'put', apiKeyKey(key.digest), JSON.stringify(key));
    },
  };
}

async function inFile(names: string[], work: (file: string) => Promise<string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'edge-clip-keys-'));
  try {
    const file = join(folder, 'names.json');
    await writeFile(file, JSON.stringify(names));
    return await work(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What it prints; what it complains about becomes a sentence for the user. */
async function wrangler(args: string[]): Promise<string> {
  const { resolve } = createRequire(import.meta.url);
  const program = join(dirname(resolve('wrangler/package.json')), 'bin/wrangler.js');
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { maxBuffer: 2 ** 26 });
    return stdout;
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string };
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a terminal.
    const said = `${stderr}\n${stdout}`.replace(/\x1b\[[\d;]*m/g, '');
    const reason = /\[ERROR\]\s*(.+)/.exec(said)?.[1] ?? said.trim().slice(0, 500);
    throw new UserError(`wrangler ${args.slice(0, 3).join(' ')} failed: ${reason}`);
  }
}
