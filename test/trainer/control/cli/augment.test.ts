// `npm run augment` from outside: what it refuses, and a run of the real Python half against a server on this machine.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { augment } from '../../../../trainer/control/cli/augment.ts';
import { warmPython } from '../../../support/python.ts';

// One Python process a test: seconds on an idle machine, more beside a training.
vi.setConfig({ testTimeout: 240_000 });

const ROOT = join(import.meta.dirname, '../../../..');
const folder = mkdtempSync(join(tmpdir(), 'augment-test-'));
let server: Server;
let url = '';

beforeAll(async () => {
  const content = 'A Pink Lady on a wooden table.\nTwo Pink Lady apples in a paper bag.';
  server = createServer((request, response) => {
    request.resume().on('end', () => {
      const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }];
      response.end(JSON.stringify({ choices, usage: { prompt_tokens: 10, completion_tokens: 20 } }));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  writeFileSync(join(folder, 'classes.json'), JSON.stringify(['Pink Lady']));
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const SERVED = ['--provider', 'openai', '--model', 'm', '--base-url'];

async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return await runWith(await warmPython(), argv);
}

async function runWith(python: string, argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    write(text: string) {
      printed[name] += text;
    },
  });
  const env = { ...process.env, TRAINER_PYTHON: python, OPENAI_API_KEY: '' };
  const context = { root: ROOT, cwd: folder, env, stdout: stream('stdout'), stderr: stream('stderr') };
  return { code: await augment(argv, context), ...printed };
}

it('reads a table by the columns that are named, as finetune does', async () => {
  writeFileSync(join(folder, 'shop.csv'), 'Bild,Titel\n1.jpg,a vase\n');
  const columns = ['--image-column', 'Bild', '--caption-column', 'Titel'];
  const served = [...SERVED, url, '--per-item', '1', '--cache', join(folder, 'columns')];
  const named = await run('shop.csv', '--out', 'named.jsonl', ...columns, ...served);
  expect(named.stderr).toBe('');
  expect(named.stdout).toContain("shop.csv: images from column 'Bild', captions from 'Titel'");
  const guessed = await run('shop.csv', '--out', 'guessed.jsonl', ...served);
  expect(guessed.stderr).toContain('Say which one it is: --image-column NAME');
  expect(guessed.code).toBe(2);
});

it.each([
  [[], 'INPUT is a file of classes, or images'],
  [['classes.json'], '--out FILE says where the captions go'],
  [['classes.json', '--out', 'o', '--provider', 'pigeon'], '--provider is local:WEIGHTS or openai, not "pigeon"'],
  [['classes.json', '--out', 'o', '--provider', 'openai'], '--provider openai needs --base-url URL and --model NAME'],
  [['classes.json', '--out', 'o', '--model', 'm'], '--base-url and --model go with --provider openai'],
  [['classes.json', '--out', 'o', '--max-usd', '1'], '--max-usd needs what the provider charges'],
  [['classes.json', '--out', 'o', '--usd-read', '1'], '--usd-read and --usd-written go together'],
  [['classes.json', '--out', 'o', '--per-item', 'many'], '--per-item many: a number from 0 on'],
  [['classes.json', '--out', 'o', '--per-item', '0'], '--per-item: '],
  [['classes.json', '--out', 'o', '--max-requests', '1.5'], '--max-requests: '],
  [['classes.json', '--out', 'o', '--max-tokens', '1.5'], '--max-tokens: '],
  [['classes.json', '--out', 'o', ...SERVED, 'http://a', '--timeout', '0'], '--timeout: '],
  [['classes.json', '--out', 'o', ...SERVED, 'http://me:pw@a'], '--base-url is an address alone'],
  [['classes.json', '--out', 'o', ...SERVED, 'http://a?key=b'], '--base-url is an address alone'],
  [['classes.json', '--out', 'o', '--colour'], 'Unknown option --colour'],
])('%j is refused with what to do', async (argv, sentence) => {
  const { code, stderr } = await run(...argv);
  expect(stderr).toContain(sentence);
  expect(code).toBe(2);
});

const asked = () => ['--provider', 'openai', '--base-url', url, '--model', 'm', '--per-item', '2', '--cache', 'cache'];

it('writes captions and says what it cost', async () => {
  const { code, stdout, stderr } = await run('classes.json', '--out', 'captions.jsonl', ...asked());
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain(`2 captions for captions.jsonl, by m (${url}); 1 of 1 classes or images have all`);
  const [line = ''] = readFileSync(join(folder, 'captions.jsonl'), 'utf8').split('\n');
  expect(JSON.parse(line)).toMatchObject({
    label: 'Pink Lady',
    captions: ['A Pink Lady on a wooden table.', 'Two Pink Lady apples in a paper bag.'],
    by: 'm',
  });
});

it('says with --json what is wrong with the input', async () => {
  const { code, stdout } = await run('nothing.json', '--out', 'o.jsonl', ...asked(), '--json');
  expect(JSON.parse(stdout).refused).toContain('there is no');
  expect(code).toBe(2);
});

it.each([
  ['exit 75', 75, { event: 'stopped', stopped: expect.stringContaining('ended before it could report') }],
  ['kill -9 $$', 1, { failed: expect.stringContaining('was killed: was there too little memory?') }],
  ['echo broken >&2; exit 1', 1, { failed: 'broken' }],
])('shows no report of an earlier run for one that ends with %s', async (line, code, said) => {
  const python = join(folder, 'python.sh');
  writeFileSync(python, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  writeFileSync(join(folder, 'old.jsonl.report.json'), '{}');
  const ended = await runWith(python, ['classes.json', '--out', 'old.jsonl', '--json']);
  expect(
    ended.stdout
      .trim()
      .split('\n')
      .map((row) => JSON.parse(row)),
  ).toEqual([said]);
  expect(ended.code).toBe(code);
});

it('takes weights that are named as a file of the folder where the user is', async () => {
  const elsewhere = await run('classes.json', '--out', 'local.jsonl', '--provider', 'local:own.gguf');
  expect(elsewhere.stderr).toContain('local:own.gguf is neither a folder or file here nor an installed Python package');
  writeFileSync(join(folder, 'own.gguf'), 'no weights');
  const here = await run('classes.json', '--out', 'local.jsonl', '--provider', 'local:own.gguf');
  expect(here.stderr).toContain('own.gguf cannot be read: ');
  expect(here.code).toBe(2);
});
