// The command `npm run keys`: makes, lists and revokes API keys, in a file of this machine or in Workers KV.
import { resolve } from 'node:path';
import { answerCommand, readCommandLine, runMain } from '../../contracts/command/command-line.ts';
import { type Range, wholeNumberOf } from '../../contracts/command/numbers.ts';
import { usersFolder } from '../../contracts/command/users-folder.ts';
import type { ApiKey } from '../../contracts/src/api/api-key.ts';
import { SCOPES, type Scope } from '../../contracts/src/api/operation.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { KEY_FILE, openKeyFile } from './file-store.ts';
import { openKv } from './kv-store.ts';
import { newKey } from './new-key.ts';
import type { KeyStore } from './store.ts';

const HELP = `Usage: npm run keys -- create --name NAME --scope SCOPE [options]
       npm run keys -- list [options]
       npm run keys -- revoke PREFIX [options]

A key is printed once, on standard output, when it is made. Only its digest is stored.

  create                   make a key and print it
  list                     every key by its first characters, with what it may do
  revoke                   refuse a key from now on; running servers notice within a minute

  --name NAME              create: whose key it is, or what for
  --scope SCOPE            create: ${SCOPES.join(', ')}; once for each
  --requests-per-minute N  create: default 600
  --tokens-per-month N     create: default as many as it likes
  --images-per-month N     create: default as many as it likes
  --expires WHEN           create: a day in UTC (2027-06-30), a time, or days from now (90d); default never
  --file FILE              where the keys are (default keys.json in the repository, which \`npm start\` reads)
  --kv                     instead: Workers KV of the account, the binding KEYS of wrangler.toml
  --namespace-id ID        with --kv: this namespace
  --local                  with --kv: wrangler's storage on this machine, as \`wrangler dev\` reads it
  --persist-to DIR         with --local: where wrangler keeps it
  --json                   one JSON object instead of text
  --help                   this text
  --version                the version of this program

Exit codes: 0 done, 1 failed, 2 refused.
`;

const OPTIONS = {
  name: { type: 'string' },
  scope: { type: 'string', multiple: true },
  'requests-per-minute': { type: 'string' },
  'tokens-per-month': { type: 'string' },
  'images-per-month': { type: 'string' },
  expires: { type: 'string' },
  file: { type: 'string' },
  kv: { type: 'boolean', default: false },
  'namespace-id': { type: 'string' },
  local: { type: 'boolean', default: false },
  'persist-to': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

/** Options that `create` alone takes. */
const OF_CREATE = ['name', 'scope', 'requests-per-minute', 'tokens-per-month', 'images-per-month', 'expires'] as const;
const REQUESTS_PER_MINUTE = 600;
const DAY_MS = 86_400_000;

type Line = ReturnType<typeof readCommandLine<typeof OPTIONS>>;
type Values = Line['values'];

export interface CommandContext {
  root: string;
  cwd: string;
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

/** The whole command; resolves to its exit code. */
export async function keys(argv: readonly string[], context: CommandContext): Promise<number> {
  const { stdout, stderr } = context;
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { command, subject, values } = readLine(argv);
    const store = openStore(values, context);
    const print = (document: object, text: string): void => {
      stdout.write(values.json ? `${JSON.stringify(document)}\n` : text);
    };
    if (command === 'create') await create(store, values, { print, note: (text) => stderr.write(`${text}\n`) });
    else if (command === 'list') await list(store, print);
    else await revoke(store, subject, print);
    return EXIT.ok;
  });
}

type Print = (document: object, text: string) => void;

async function create(
  store: KeyStore,
  values: Values,
  { print, note }: { print: Print; note: (text: string) => void },
): Promise<void> {
  const name = values.name?.trim() ?? '';
  // A line end would make a second line of the list, which could look like any key.
  if (name === '' || name.length > 200 || /\p{Cc}/u.test(name))
    throw new UserError('--name says whose key it is, in 1 to 200 characters of one line');
  const now = new Date();
  const limit = (option: 'requests-per-minute' | 'tokens-per-month' | 'images-per-month', range: Range) =>
    wholeNumberOf(`--${option}`, values[option], range);
  const { secret, key } = newKey(
    {
      name,
      scopes: scopesOf(values.scope ?? []),
      expires_at: expiryOf(values.expires, now),
      rate: {
        requests_per_minute: limit('requests-per-minute', { from: 1, to: 1e6 }) ?? REQUESTS_PER_MINUTE,
      },
      quota: {
        tokens_per_month: limit('tokens-per-month', { from: 0 }) ?? null,
        images_per_month: limit('images-per-month', { from: 0 }) ?? null,
      },
    },
    now,
  );
  await store.put(key);
  const { schema_version: _, digest: __, ...shown } = key;
  print({ key: secret, ...shown }, `${secret}\n`);
  if (!values.json) note(`This is the only time that the key is shown. In ${store.name}:\n${textOf(key, now)}`);
}

async function list(store: KeyStore, print: Print): Promise<void> {
  const all = await store.list();
  const now = new Date();
  const rows = all.map(({ schema_version: _, digest: __, ...key }) => ({ ...key, state: stateOf(key, now) }));
  const lines = all.length === 0 ? [`${store.name} holds no key`] : all.map((key) => textOf(key, now));
  print({ keys: rows }, `${lines.join('\n')}\n`);
}

async function revoke(store: KeyStore, shown: string, print: Print): Promise<void> {
  const prefix = shown.replace(/…$/, '');
  if (/^ec_[0-9A-Za-z]{9,}$/.test(prefix)) {
    throw new UserError('revoke takes the first characters of a key, as list shows them: the whole key stays secret');
  }
  const found = (await store.list()).filter((key) => key.prefix === prefix);
  const [key] = found;
  if (key === undefined) throw new UserError(`${store.name} holds no key ${prefix}: list shows those there are`);
  const revoked_at = key.revoked_at ?? new Date().toISOString();
  for (const each of found) await store.put({ ...each, revoked_at: each.revoked_at ?? revoked_at });
  print({ prefix, revoked_at }, `${prefix} (${key.name}) is revoked since ${revoked_at}\n`);
}

function stateOf({ revoked_at, expires_at }: Pick<ApiKey, 'revoked_at' | 'expires_at'>, now: Date): string {
  if (revoked_at !== null) return 'revoked';
  return expires_at !== null && Date.parse(expires_at) <= now.getTime() ? 'expired' : 'active';
}

function textOf(key: ApiKey, now: Date): string {
  const { prefix, name, scopes, rate, quota, created_at, expires_at, revoked_at } = key;
  const amount = (number: number | null, what: string) =>
    number === null ? [] : [`${number.toLocaleString('en')} ${what} a month`];
  const ends = revoked_at ?? expires_at;
  const when = ends === null ? '' : `, ${ends}`;
  const terms = [
    `${rate.requests_per_minute.toLocaleString('en')} requests a minute`,
    ...amount(quota.tokens_per_month, 'tokens'),
    ...amount(quota.images_per_month, 'images'),
  ];
  return `${prefix}…  ${stateOf(key, now)}${when}  ${scopes.join('+')}  ${terms.join(', ')}  made ${created_at}  ${name}`;
}

// ------------------------------------------------------------------ the command line

function readLine(argv: readonly string[]) {
  const { values, words } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 2 });
  const [command, subject = ''] = words;
  if (command !== 'create' && command !== 'list' && command !== 'revoke') {
    throw new UserError(`${command ?? 'no command'}: there are create, list and revoke\n\n${HELP}`);
  }
  if (command === 'revoke' && subject === '')
    throw new UserError('revoke which key? list shows their first characters');
  if (command !== 'revoke' && subject !== '') throw new UserError(`${command} takes no argument, not ${subject}`);
  for (const option of OF_CREATE) {
    if (values[option] !== undefined && command !== 'create') {
      throw new UserError(`--${option} goes with create, not with ${command}`);
    }
  }
  if (values.kv && values.file !== undefined) throw new UserError('--file and --kv are two places: name one');
  if (!values.kv && (values.local || values['namespace-id'] !== undefined)) {
    throw new UserError(`${values.local ? '--local' : '--namespace-id'} goes with --kv`);
  }
  if (!values.local && values['persist-to'] !== undefined) throw new UserError('--persist-to goes with --local');
  return { command, subject, values };
}

function openStore(values: Values, { root, cwd }: CommandContext): KeyStore {
  if (!values.kv) return openKeyFile(values.file === undefined ? KEY_FILE : resolve(cwd, values.file));
  const folder = values['persist-to'] === undefined ? undefined : resolve(cwd, values['persist-to']);
  return openKv({
    config: resolve(root, 'wrangler.toml'),
    namespaceId: values['namespace-id'],
    local: values.local ? { folder } : undefined,
  });
}

function scopesOf(given: readonly string[]): Scope[] {
  const unknown = given.find((scope) => !SCOPES.some((known) => known === scope));
  if (unknown !== undefined) throw new UserError(`--scope ${unknown}: there are ${SCOPES.join(', ')}`);
  if (given.length === 0) throw new UserError(`--scope says what the key is good for: ${SCOPES.join(', ')}`);
  return SCOPES.filter((scope) => given.includes(scope));
}

function expiryOf(text: string | undefined, now: Date): string | null {
  if (text === undefined) return null;
  const days = /^(\d{1,5})d$/.exec(text)?.[1];
  // A day alone is one of UTC, a time needs its offset.
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const [day = ''] = text.split('T');
  // A day that its month does not have would be one of the next month.
  const isDay = isTime && new Date(day).toJSON()?.startsWith(day);
  let at = isDay ? Date.parse(text) : Number.NaN;
  if (days !== undefined) at = now.getTime() + Number(days) * DAY_MS;
  if (Number.isNaN(at)) throw new UserError(`--expires ${text}: a day (2027-06-30), a time (…T12:00Z), or days (90d)`);
  if (at <= now.getTime()) throw new UserError(`--expires ${text} is past`);
  return new Date(at).toISOString();
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, '../..');
  const cwd = usersFolder();
  const { stdout, stderr } = process;
  await runMain(() => keys(process.argv.slice(2), { root, cwd, stdout, stderr }));
}
