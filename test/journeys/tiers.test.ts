// A model of three tiers that the trainer exported, through the doors that `npm start` opens.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { LimitsReport } from '../../contracts/src/api/limits.ts';
import { ModelList, ReadyReport } from '../../contracts/src/api/models.ts';
import { TokenizeResponse } from '../../contracts/src/api/tasks/tokenize.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { warmPython } from '../support/python.ts';

const IDS = ['tiered', 'tiered-tiny', 'tiered-static'];
const folder = mkdtempSync(join(tmpdir(), 'tiered-'));
let server: LocalServer;

beforeAll(async () => {
  execFileSync(await warmPython(), [join(import.meta.dirname, '../support/tiered_model.py'), folder]);
  server = await startLocalServer({ model: folder });
}, 120_000);
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true });
});

const get = async (path: string) => (await fetch(`${server.url}${path}`)).json();
async function post(path: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  return (await fetch(`${server.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}
const embed = async (model: string, input: string | string[]) =>
  EmbedResponse.parse(await post('/embed', { model, input }));

test('every tier is listed, and answers with the vectors that the trainer computed', async () => {
  expect(ModelList.parse(await get('/v1/models')).data.map(({ id }) => id)).toEqual(IDS);
  const { models } = LimitsReport.parse(await get('/v1/limits'));
  expect(models.map(({ id }) => id)).toEqual(IDS);
  const [student = 0, tiny = 0, fast = 0] = models.map(({ tokens }) => tokens);
  expect(student < tiny && tiny < fast).toBe(true);
  const { golden } = ReadyReport.parse(await get('/health/ready'));
  expect(golden.map(({ tier }) => tier)).toEqual([
    ...Array(4).fill('student'),
    ...Array(4).fill('tiny'),
    ...Array(4).fill('static'),
  ]);
  expect(golden.every(({ cosine }) => cosine > 0.99)).toBe(true);
});

describe.each(IDS)('%s', (id) => {
  const texts = [
    'a dog',
    '犬',
    'собака',
    '🐶',
    'x'.repeat(150_000),
    'qw'.repeat(75_000),
    'a dog in a park. '.repeat(40),
  ];

  test('gives every text a vector of its own, whatever it is written in', async () => {
    const { data } = await embed(id, texts);
    const vectors = data.map(({ embedding }) => embedding as number[]);
    for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    expect(new Set(vectors.map(String)).size).toBe(texts.length);
  });

  test('says how much of a text was understood', async () => {
    const { data } = await embed(id, ['a dog', 'dog👍', '犬', 'x'.repeat(150_000)]);
    const special = id === 'tiered-static' ? 0 : 2;
    expect(data.map(({ truncation }) => truncation)).toMatchObject([
      { tokens_unknown: 0, chars_unknown: 0, understood: true },
      { tokens_seen: 5 + special, tokens_unknown: 4, chars_unknown: 2, understood: true, truncated: false },
      { tokens_unknown: 3, chars_unknown: 1, understood: false },
      { tokens_seen: 160, tokens_total: 150_000 + special, understood: false, truncated: true },
    ]);
  });

  test('gives a text the same vector alone and among others, bit for bit', async () => {
    const { data } = await embed(id, texts);
    for (const index of [0, 3, 6]) {
      const [alone] = (await embed(id, texts[index] ?? '')).data;
      expect(alone?.embedding).toEqual(data[index]?.embedding);
    }
  });
});

test('an emoji neither splits nor swallows the word that it is glued to', async () => {
  const { data } = TokenizeResponse.parse(
    await post('/tokenize', { input: ['👍dog👍', 'dog'], model: 'tiered-static' }),
  );
  const words = data.map(({ tokens }) =>
    tokens.filter(({ piece }) => !piece.startsWith('<0x')).map(({ piece }) => piece),
  );
  expect(words).toEqual([['dog'], ['dog']]);
  expect(data[0]?.tokens.map(({ text }) => text)).toEqual([...Array(4).fill('👍'), 'dog', ...Array(4).fill('👍')]);
});
