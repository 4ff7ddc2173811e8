// `npm run keys`: a key is shown once, stored as its digest, listed by its prefix and revoked, in a file and in KV.
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { keys } from '../../../api/keys/keys.ts';
import { newKey } from '../../../api/keys/new-key.ts';
import { ApiKeyFile } from '../../../contracts/src/api/api-key.ts';

const ROOT = join(import.meta.dirname, '../../..');
const folder = mkdtempSync(join(tmpdir(), 'keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(...argv: string[]) {
  const printed = { stdout: '', stderr: '' };
  const writer = (name: keyof typeof printed) => ({
    write(text: string) {
      printed[name] += text;
    },
  });
  const code = await keys(argv, { root: ROOT, cwd: folder, stdout: writer('stdout'), stderr: writer('stderr') });
  return { code, ...printed };
}
const contentOf = (file: string) => readFileSync(join(folder, file), 'utf8');
const create = (file: string, ...more: string[]) =>
  run('create', '--file', file, '--name', 'shop', '--scope', 'embed', ...more);

describe('a file', () => {
  test('holds the digest of a key, never the key, and nobody else may read it', async () => {
    const { code, stdout, stderr } = await create('one.json');
    expect(code).toBe(0);
    const secret = stdout.trimEnd();
    expect(secret).toMatch(/^ec_[0-9A-Za-z]{32,}$/);
    expect(stderr).not.toContain(secret);
    const [key] = ApiKeyFile.parse(JSON.parse(contentOf('one.json'))).keys;
    expect(contentOf('one.json')).not.toContain(secret);
    expect(key).toMatchObject({
      digest: `sha256:${createHash('sha256').update(secret).digest('hex')}`,
      prefix: secret.slice(0, 11),
      name: 'shop',
      scopes: ['embed'],
      expires_at: null,
      revoked_at: null,
      rate: { requests_per_minute: 600 },
      quota: { tokens_per_month: null, images_per_month: null },
    });
    expect(statSync(join(folder, 'one.json')).mode & 0o777).toBe(0o600);
  });

  test('takes every term of a key', async () => {
    const terms = ['--scope', 'admin', '--requests-per-minute', '5', '--tokens-per-month', '1_000_000'];
    await create('terms.json', ...terms, '--images-per-month', '0', '--expires', '2999-06-30');
    const { keys: rows } = JSON.parse((await run('list', '--file', 'terms.json', '--json')).stdout);
    expect(rows).toEqual([
      expect.objectContaining({
        state: 'active',
        scopes: ['embed', 'admin'],
        rate: { requests_per_minute: 5 },
        quota: { tokens_per_month: 1_000_000, images_per_month: 0 },
        expires_at: '2999-06-30T00:00:00.000Z',
      }),
    ]);
  });

  test('days are counted from now', async () => {
    const { stdout } = await create('days.json', '--expires', '90d', '--json');
    const { created_at, expires_at } = JSON.parse(stdout);
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(90 * 24 * 3600 * 1000);
  });

  test('lists a revoked key as revoked, with the time', async () => {
    const { stdout: secret } = await create('revoked.json');
    await create('revoked.json');
    const prefix = secret.slice(0, 11);
    expect((await run('revoke', prefix, '--file', 'revoked.json')).stdout).toContain(
      `${prefix} (shop) is revoked since`,
    );
    const { stdout } = await run('list', '--file', 'revoked.json');
    const [first, second] = stdout.trimEnd().split('\n');
    expect(first).toMatch(new RegExp(`^${prefix}…  revoked, 2\\d{3}-`));
    expect(second).toContain('  active  ');
    expect(stdout).not.toContain(secret.trimEnd());
  });

  test('is changed where it is, by whatever link, and its keys are named as they are listed', async () => {
    symlinkSync('behind.json', join(folder, 'link.json'));
    await create('behind.json');
    await create('link.json');
    const { keys: made } = ApiKeyFile.parse(JSON.parse(contentOf('behind.json')));
    expect(made).toHaveLength(2);
    for (const { prefix } of made)
      expect(await run('revoke', `${prefix}…`, '--file', 'link.json')).toMatchObject({ code: 0 });
    const revoked = ApiKeyFile.parse(JSON.parse(contentOf('behind.json'))).keys.map(({ revoked_at }) => revoked_at);
    expect(revoked).toEqual([expect.any(String), expect.any(String)]);
    expect(lstatSync(join(folder, 'link.json')).isSymbolicLink()).toBe(true);
  });

  test('loses none of twenty keys that are made at the same time', async () => {
    await Promise.all(Array.from({ length: 20 }, () => create('crowd.json')));
    expect(ApiKeyFile.parse(JSON.parse(contentOf('crowd.json'))).keys).toHaveLength(20);
    expect(readdirSync(folder).filter((name) => /crowd\.json\./.test(name))).toEqual([]);
  });

  test('is not overwritten where it is not a list of keys', async () => {
    writeFileSync(join(folder, 'other.json'), '{"name": "mine"}');
    expect(await create('other.json')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is not a list of keys'),
    });
    expect(contentOf('other.json')).toBe('{"name": "mine"}');
  });
});

test('10,000 keys use all 62 characters equally often and are all different', async () => {
  const terms = { name: 'n', scopes: ['embed' as const], expires_at: null, rate: { requests_per_minute: 1 } };
  const quota = { tokens_per_month: null, images_per_month: null };
  const made = Array.from({ length: 10_000 }, () => newKey({ ...terms, quota }, new Date()).secret);
  expect(new Set(made).size).toBe(10_000);
  const counts = new Map<string, number>();
  for (const secret of made) for (const letter of secret.slice(3)) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  const total = 40 * 10_000;
  const expected = total / 62;
  const chi = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  expect(counts.size).toBe(62);
  // 61 degrees of freedom: beyond 130 by chance once in a million.
  expect(chi).toBeLessThan(130);
});

describe('what cannot be done is refused in a sentence', () => {
  test.each([
    [['make'], 'make: there are create, list and revoke'],
    [['create', '--scope', 'embed'], '--name says whose key it is'],
    [['create', '--name', 'a'], '--scope says what the key is good for: embed, jobs, admin'],
    [['create', '--name', 'a', '--scope', 'all'], '--scope all: there are embed, jobs, admin'],
    [['create', '--name', 'a', '--scope', 'embed', '--tokens-per-month', '-1'], '--tokens-per-month needs a value'],
    [['create', '--name', 'a', '--scope', 'embed', '--requests-per-minute', '0'], 'a whole number from 1 to 1000000'],
    [['create', '--name', 'a', '--scope', 'embed', '--expires', '2020-01-01'], 'is past'],
    [['create', '--name', 'a', '--scope', 'embed', '--expires', 'tomorrow'], '--expires tomorrow: a day'],
    [['create', '--name', 'a', '--scope', 'embed', '--expires', '2099-02-30'], '--expires 2099-02-30: a day'],
    [['create', '--name', 'a', '--scope', 'embed', '--expires', '2099-06-31T10:00Z'], '--expires 2099-06-31T10:00Z: a'],
    [['create', '--name', 'a\nec_other', '--scope', 'embed'], 'characters of one line'],
    [['create', '--name', 'a', '--scope', 'embed', '--file', 'gone/keys.json'], 'there is no folder'],
    [['revoke', 'ec_00000000'], 'holds no key ec_00000000'],
    [['revoke', `ec_${'x'.repeat(40)}`], 'the whole key stays secret'],
    [['revoke'], 'revoke which key?'],
    [['list', '--name', 'a'], '--name goes with create, not with list'],
    [['list', '--local'], '--local goes with --kv'],
    [['list', '--kv', '--file', 'a'], 'two places'],
  ])('%j', async (argv, sentence) => {
    const file = argv.includes('--kv') || argv.includes('--file') ? [] : ['--file', 'refused.json'];
    const { code, stdout, stderr } = await run(...argv, ...file);
    expect(stderr).toContain(sentence);
    expect([code, stdout]).toEqual([2, '']);
  });
});

test('Workers KV, as wrangler keeps it on this machine, holds a key by its digest, lists it and takes its revocation', async () => {
  const kv = ['--kv', '--local', '--persist-to', 'kv'];
  const { code, stdout, stderr } = await run('create', '--name', 'cloud', '--scope', 'jobs', ...kv);
  expect([code, stderr]).toEqual([0, expect.stringContaining("wrangler's local KV (KEYS)")]);
  const prefix = stdout.slice(0, 11);
  expect((await run('list', ...kv)).stdout).toMatch(new RegExp(`^${prefix}…  active  jobs  .*  cloud\n$`));
  expect((await run('revoke', prefix, ...kv)).code).toBe(0);
  expect((await run('list', ...kv)).stdout).toMatch(new RegExp(`^${prefix}…  revoked, .*  cloud\n$`));
});
