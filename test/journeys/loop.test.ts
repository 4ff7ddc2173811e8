// `npm run loop` as a user runs it: deploy, data, training, gate, publication, answers and the way back, no request lost.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import type { Row } from '../loop/timeline.ts';
import type { Loop } from '../loop/walk.ts';
import { trainerPython } from '../support/python.ts';
import { TINY_STAGES } from '../support/tiny-recipe.ts';

const LOOP = join(import.meta.dirname, '../loop/run.ts');

/** Of its own, to see what is left in it. */
const folder = mkdtempSync(join(tmpdir(), 'loop-'));
let rows: Row[] = [];
let loop: Loop;
beforeAll(async () => {
  const env = { ...process.env, TRAINER_PYTHON: await trainerPython(), TMPDIR: folder };
  const running = promisify(execFile)(process.execPath, [LOOP, '--json'], { env, timeout: 280_000 });
  const { stdout } = await running.catch((error: Error & { stdout: string; stderr: string }) => {
    // What failed is in the last of its documents.
    throw new Error(`${error.message}\n${error.stdout}${error.stderr}`);
  });
  const documents = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row | Loop);
  rows = documents.filter((document) => document.event === 'step');
  const found = documents.find((document) => document.event === 'loop');
  if (found === undefined) throw new Error(stdout);
  loop = found;
  // The timeline, for whoever reads the log of the tests.
  for (const { at, seconds, step, what } of rows)
    console.log(`${at.toFixed(1)} ${seconds.toFixed(1)} ${step}: ${what}`);
}, 300_000);

test('a schedule trains and publishes, new data does so by its event, and a rollback undoes it', () => {
  const pipeline = ['plan', 'train', 'gate', 'publish', 'answers'];
  expect(rows.map(({ step }) => step).filter((step) => step !== 'deploy')).toEqual([
    'emulate',
    'submit',
    'schedule',
    ...pipeline,
    'push',
    'event',
    ...pipeline,
    'rollback',
    'answers',
  ]);
  const deployed = rows.filter(({ step }) => step === 'deploy').map(({ what }) => what.split(':')[0]);
  expect(deployed.slice(1)).toEqual(['data', 'images', 'stacks', 'worker', 'smoke']);
  const event = rows.find(({ step }) => step === 'event');
  expect(event?.what).toContain('{"pointer":"datasets/tiny/current.json"}');
  // Of the first training `prepare` was submitted by hand; the new pairs change what every stage reads but `mntp`, which is for texts.
  const [scheduled, arrived] = rows.filter(({ step }) => step === 'train').map(({ what }) => what);
  expect(scheduled).toContain(TINY_STAGES.slice(1).join(', '));
  const changed = TINY_STAGES.filter((stage) => stage !== 'mntp');
  expect(arrived).toBe(`${changed.length} jobs: ${changed.join(', ')}`);
  for (const [at, row] of rows.entries()) expect(row.at).toBeGreaterThanOrEqual(rows[at - 1]?.at ?? 0);
});

test('under load no request fails, and no vector comes under the name of another space', () => {
  expect(loop.failures).toEqual([]);
  expect(loop.wrong).toBe(0);
  expect(loop.first).not.toBe(loop.second);
  const order = [loop.first, loop.second, loop.first];
  expect(loop.spaces).toEqual({ texts: order, image: order, fresh: order });
  for (const count of Object.values(loop.answered)) expect(count).toBeGreaterThan(20);
  // Asked while jobs ran, not only between them.
  const during = rows.flatMap(({ step, answered }, at) =>
    step === 'train' ? [answered - (rows[at - 1]?.answered ?? 0)] : [],
  );
  for (const answered of during) expect(answered).toBeGreaterThan(10);
});

test('no folder of it is left', () => {
  // onnxruntime leaves two small files of its own.
  const left = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(left.map(({ name }) => name)).toEqual([]);
});
