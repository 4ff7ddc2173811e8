// `npm run loop -- --small-programs`: deploy, data, training, gate, publication, answers and the way back, no request lost.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { judge, LEAST_APART } from '../loop/reference.ts';
import { withTimeline } from '../loop/report.ts';
import type { Row } from '../loop/timeline.ts';
import type { Loop } from '../loop/walk.ts';
import { trainerPython } from '../support/python.ts';
import { TINY_STAGES } from '../support/tiny-recipe.ts';

/** The jobs of a row of a training, without how long each took. */
const jobsIn = (what = ''): string[] => [...what.matchAll(/([a-z_]+) [\d.]+/g)].map(([, job = '']) => job);

const LOOP = join(import.meta.dirname, '../loop/run.ts');

/** Of its own, to see what is left in it. */
const folder = mkdtempSync(join(tmpdir(), 'loop-'));
let rows: Row[] = [];
let loop: Loop;
beforeAll(async () => {
  const env = { ...process.env, TRAINER_PYTHON: await trainerPython(), TMPDIR: folder };
  const running = promisify(execFile)(process.execPath, [LOOP, '--small-programs', '--json'], {
    env,
    timeout: 280_000,
  });
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
    // The machine of one of its jobs was reclaimed.
    ...pipeline.toSpliced(2, 0, 'reclaim'),
    'push',
    'event',
    ...pipeline,
    'rollback',
    'answers',
  ]);
  const deployed = rows.filter(({ step }) => step === 'deploy').map(({ what }) => what.split(':')[0]);
  expect(deployed.slice(1)).toEqual(['data', 'images', 'stacks', 'worker', 'smoke']);
  const reclaimed = rows.find(({ step }) => step === 'reclaim')?.what ?? '';
  const [, after, next] =
    /^clip: SIGTERM at step (\d+) of 400, exit 75, tried again, on with step (\d+)$/.exec(reclaimed) ?? [];
  // In the middle, and what was done is not done again.
  expect(Number(after)).toBeGreaterThan(100);
  expect(Number(next)).toBeGreaterThan(Number(after));
  const event = rows.find(({ step }) => step === 'event');
  expect(event?.what).toContain('{"pointer":"datasets/tiny/current.json"}');
  // Of the first training `prepare` was submitted by hand; the new pairs change what every stage reads but `mntp`, which is for texts.
  const [scheduled, arrived] = rows.filter(({ step }) => step === 'train').map(({ what }) => what);
  expect(jobsIn(scheduled)).toEqual(TINY_STAGES.slice(1));
  const changed = TINY_STAGES.filter((stage) => stage !== 'mntp');
  expect(jobsIn(arrived)).toEqual(changed);
  for (const [at, row] of rows.entries()) expect(row.at).toBeGreaterThanOrEqual(rows[at - 1]?.at ?? 0);
});

test('under load no request fails, and no vector comes under the name of another space', () => {
  expect(loop.failures).toEqual([]);
  expect(loop.wrong).toBe(0);
  expect(loop.apart).toBeGreaterThan(LEAST_APART);
  // The first training hands over the model that is deployed: new data bring another one, and the rollback takes it back.
  const { order } = loop;
  expect(order).toEqual([order[0], expect.not.stringContaining(order[0] ?? ''), order[0]]);
  expect(loop.spaces).toEqual({ texts: order, image: order, fresh: order });
  for (const count of Object.values(loop.answered)) expect(count).toBeGreaterThan(20);
  // Asked while jobs ran, not only between them.
  const during = rows.flatMap(({ step, answered }, at) =>
    step === 'train' ? [answered - (rows[at - 1]?.answered ?? 0)] : [],
  );
  for (const answered of during) expect(answered).toBeGreaterThan(10);
});

test('an answer under the name of another space is seen, and one of a space that nothing was published of', async () => {
  const input = ['a cat', 'a car'];
  const told = (space_id: string, vectors: number[][]) => ({ input, space_id, vectors });
  const none = [
    [1, 0],
    [0, 1],
  ];
  const folders = new Map([['embedded', EMBEDDED_MODEL]]);
  expect((await judge([told('embedded', none), told('nobody', none)], folders)).wrong).toBe(2);
});

test('a timeline takes the place of the one before on its page', () => {
  const page = readFileSync(join(import.meta.dirname, '../../infra/README.md'), 'utf8');
  const [before = '', after = ''] = withTimeline(page, ['0.1 deploy', '2.3 answers']).split('0.1 deploy\n2.3 answers');
  expect([page.startsWith(before), page.endsWith(after)]).toEqual([true, true]);
  expect(before.length).toBeGreaterThan(1000);
  expect(after.length).toBeGreaterThan(1000);
  expect(withTimeline(withTimeline(page, ['one']), ['two'])).toBe(withTimeline(page, ['two']));
});

test('no folder of it is left', () => {
  // onnxruntime leaves two small files of its own.
  const left = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(left.map(({ name }) => name)).toEqual([]);
});
