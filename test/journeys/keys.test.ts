// A session of good, bad, spent and revoked keys with `npm start`: what each is answered, and that no key is ever printed.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keys as keysCommand } from '../../api/keys/keys.ts';
import { ErrorBody } from '../../contracts/src/api/error.ts';
import { type KeyFile, makeKeyFile } from '../support/key-file.ts';

const ROOT = join(import.meta.dirname, '../..');
let file: KeyFile;
let server: ChildProcess;
let url = '';
let printed = '';
const sent = new Set<string>();

beforeAll(async () => {
  file = await makeKeyFile();
  const program = join(ROOT, 'api/dev/serve.ts');
  const args = ['--port', '0', '--registry', join(ROOT, 'none'), '--keys', file.file];
  server = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  url = await new Promise((ready, fail) => {
    server.once('exit', (code) => fail(new Error(`the server ended with ${code}: ${printed}`)));
    for (const stream of [server.stdout, server.stderr]) {
      if (!stream) throw new Error('the server has no output');
      createInterface({ input: stream }).on('line', (line) => {
        printed += `${line}\n`;
        const address = / is ready on (http:\S+)$/.exec(line)?.[1];
        if (address) ready(address);
      });
    }
  });
});
afterAll(async () => {
  const ended = new Promise((done) => server.once('exit', done));
  server.kill('SIGTERM');
  await ended;
  file.remove();
});

/** A good request, but for what is given. */
function ask(key: string | undefined, body: object = { input: 'a dog' }, path = '/embed'): Promise<Response> {
  if (key !== undefined) sent.add(key);
  return fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
    body: JSON.stringify(body),
  });
}
const numberIn = (response: Response, name: string) => Number(response.headers.get(`x-ratelimit-${name}`));
const refused = async (response: Response) => {
  const { code, detail, error } = ErrorBody.parse(await response.json());
  return { status: response.status, code, detail, type: error.type };
};

test('every answer says where its key stands, in the names of OpenAI', async () => {
  const key = await file.add({
    rate: { requests_per_minute: 50 },
    quota: { tokens_per_month: 1000, images_per_month: null },
  });
  // The file is looked at every second.
  await expect.poll(async () => (await ask(key)).status).toBe(200);
  const first = await ask(key);
  const { usage } = (await first.json()) as { usage: { prompt_tokens: number } };
  expect([numberIn(first, 'limit-requests'), numberIn(first, 'limit-tokens')]).toEqual([50, 1000]);
  expect(first.headers.get('x-ratelimit-reset-requests')).toMatch(/^(\d{1,2}s|1m0s|\d+ms)$/);
  expect(first.headers.get('x-ratelimit-reset-tokens')).toMatch(/^(\d+h)?(\d+m)?\d+m?s$/);
  const second = await ask(key);
  expect(numberIn(second, 'remaining-requests')).toBe(numberIn(first, 'remaining-requests') - 1);
  expect(numberIn(second, 'remaining-tokens')).toBe(numberIn(first, 'remaining-tokens') - usage.prompt_tokens);
});

test('of twenty requests at once exactly as many are answered as the key may send', async () => {
  const key = await file.add({ rate: { requests_per_minute: 6 } });
  // The file is looked at every second. This is the first of the six.
  await expect.poll(async () => (await ask(key, {})).status).toBe(400);
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(key)));
  const statuses = answers.map(({ status }) => status).sort();
  expect(statuses).toEqual([...Array(5).fill(200), ...Array(15).fill(429)]);
  const late = answers.find(({ status }) => status === 429);
  if (!late) throw new Error('nothing was refused');
  const seconds = Number(late.headers.get('retry-after'));
  expect(seconds).toBeGreaterThanOrEqual(1);
  expect(seconds).toBeLessThanOrEqual(60);
  expect([numberIn(late, 'limit-requests'), numberIn(late, 'remaining-requests')]).toEqual([6, 0]);
  expect(await refused(late)).toMatchObject({
    code: 'rate_limited',
    type: 'rate_limit_error',
    detail: expect.stringContaining('may send 6 requests a minute and has sent 6: try again in'),
  });
});

test('a quota of tokens ends with the request that uses it up, and says when there are more', async () => {
  const key = await file.add({ quota: { tokens_per_month: 20, images_per_month: null } });
  await expect.poll(async () => (await ask(key, {})).status).toBe(400);
  const whole = await ask(key, { input: 'a dog and a cat and a horse and a bird and a fish and a cow and a boat' });
  expect([whole.status, numberIn(whole, 'remaining-tokens')]).toEqual([200, 0]);
  const { usage } = (await whole.json()) as { usage: { prompt_tokens: number } };
  const response = await ask(key);
  expect(response.headers.get('x-should-retry')).toBe('false');
  const wait = Number(response.headers.get('retry-after')) * 1000;
  const next = new Date(Date.now() + wait);
  expect([next.getUTCDate(), next.getUTCHours()]).toEqual([1, 0]);
  expect(await refused(response)).toMatchObject({
    status: 429,
    code: 'quota_exceeded',
    type: 'insufficient_quota',
    detail: expect.stringContaining(`has used ${usage.prompt_tokens} of 20 tokens of this month`),
  });
  // What computes nothing costs nothing.
  const models = await fetch(`${url}/v1/models`, { headers: { 'x-api-key': key } });
  expect(models.status).toBe(200);
  const dry = await ask(key, { input: 'a dog' }, '/embed?dry_run=1');
  expect([dry.status, await dry.json()]).toMatchObject([200, { object: 'dry_run', usage: { total_tokens: 4 } }]);
});

test('a quota of images stops images and no texts', async () => {
  const photo = { image: readFileSync(join(ROOT, 'api/playground/samples/cat.jpg')).toString('base64') };
  const key = await file.add({ quota: { tokens_per_month: null, images_per_month: 1 } });
  await expect.poll(async () => (await ask(key, {})).status).toBe(400);
  expect(await refused(await ask(key, { input: [photo, photo] }))).toMatchObject({
    status: 429,
    code: 'quota_exceeded',
    detail: expect.stringContaining('0 of 1 images (this request has 2) of this month'),
  });
  expect((await ask(key, { input: photo })).status).toBe(200);
  expect((await ask(key, { input: photo })).status).toBe(429);
  expect((await ask(key)).status).toBe(200);
});

test('without a key nothing is counted, and a wrong one is refused', async () => {
  const response = await ask(undefined);
  expect(response.status).toBe(200);
  expect([...response.headers.keys()].filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
  for (const kind of ['revoked', 'expired'] as const) expect((await ask(file.secrets[kind])).status).toBe(401);
  expect((await ask(file.secrets.jobs)).status).toBe(403);
  expect((await ask(`ec_${'Wrong'.repeat(8)}`)).status).toBe(401);
  expect((await ask('sk-proj-of-another-service-0123456789')).status).toBe(401);
});

test('a key that is revoked by the command is refused without a restart', async () => {
  const key = await file.add({});
  await expect.poll(async () => (await ask(key)).status).toBe(200);
  const silent = { write: () => {} };
  const context = { root: ROOT, cwd: ROOT, stdout: silent, stderr: silent };
  expect(await keysCommand(['revoke', key.slice(0, 11), '--file', file.file], context)).toBe(0);
  await expect.poll(async () => (await ask(key)).status).toBe(401);
});

test.each(['/', '/style.css', '/samples/cat.jpg'])('the file %s may be framed by nobody', async (path) => {
  const response = await fetch(`${url}${path}`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'self'; .*; frame-ancestors 'none'$/);
  for (const [name, value] of [
    ['x-content-type-options', 'nosniff'],
    ['x-frame-options', 'DENY'],
    ['referrer-policy', 'no-referrer'],
  ] as const)
    expect(response.headers.get(name)).toBe(value);
});

test('the list of those headers is no file', async () => {
  expect((await fetch(`${url}/_headers`)).status).toBe(404);
});

test('in all of that no key was printed, not even a wrong one', async () => {
  await ask(file.secrets.good, { input: 'a dog' }, `/embed?key=${'x'.repeat(10)}`);
  expect(sent.size).toBeGreaterThan(8);
  for (const key of sent) expect(printed).not.toContain(key.slice(11));
  expect(printed).toContain('is ready on');
});
