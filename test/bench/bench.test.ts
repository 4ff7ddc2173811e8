// `npm run bench` from outside: what `--compare` says of made-up results, and that its short form measures what is compared.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';

vi.setConfig({ testTimeout: 600_000 });
const RUN = join(import.meta.dirname, 'run.ts');
const COMMITTED = join(import.meta.dirname, 'baseline.json');

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function bench(...words: string[]): Promise<Ended> {
  return new Promise((done) => {
    execFile(process.execPath, [RUN, ...words], (error, stdout, stderr) => {
      done({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

const folder = mkdtempSync(join(tmpdir(), 'bench-'));
function written(name: string, document: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(document));
  return file;
}

const BASELINE = {
  date: '2026-11-27T22:00:00.000Z',
  machine: { cpu: 'a processor', cores: 2, load: [0.5, 0.8] },
  versions: { node: 'v24.21.0' },
  runs: 9,
  ratios: { 'time to theirs': 0.4, 'requests to theirs': 3 },
};
function resultOf(time: number, requests: number) {
  const ratios = [
    { name: 'time to theirs', value: time, better: 'lower', target: 0.45 },
    { name: 'requests to theirs', value: requests, better: 'higher' },
  ];
  return { date: BASELINE.date, ratios };
}
const compared = (result: unknown, baseline: unknown = BASELINE, ...more: string[]) =>
  bench('--compare', written('baseline.json', baseline), '--result', written('result.json', result), ...more);

test.each([
  { what: 'the same', time: 0.4, requests: 3, lost: [] },
  { what: '15 % less', time: 0.459, requests: 2.62, lost: [] },
  { what: 'better by any measure', time: 0.1, requests: 30, lost: [] },
  {
    what: 'a time that is 16 % longer',
    time: 0.464,
    requests: 3,
    lost: ['time to theirs: 0.464 instead of 0.400, 16 %'],
  },
  {
    what: 'a fifth fewer requests',
    time: 0.4,
    requests: 2.5,
    lost: ['requests to theirs: 2.500 instead of 3.000, 20 %'],
  },
  {
    what: 'both',
    time: 0.8,
    requests: 1.5,
    lost: ['time to theirs: 0.800 instead of 0.400, 100 %', 'requests to theirs: 1.500 instead of 3.000, 100 %'],
  },
])('$what: what is lost is named, and only that', async ({ time, requests, lost }) => {
  const { code, stderr, stdout } = await compared(resultOf(time, requests));
  expect(stderr.trim().split('\n').filter(Boolean)).toEqual(
    lost.map((sentence) => `${sentence} worse; 15 % is allowed`),
  );
  expect(code).toBe(lost.length > 0 ? 1 : 0);
  expect(stdout.match(/LOST/g) ?? []).toHaveLength(lost.length);
});

test('as JSON the comparison is a document with the same sentences', async () => {
  const { code, stdout } = await compared(resultOf(0.5, 3), BASELINE, '--json');
  const { comparison } = JSON.parse(stdout);
  expect(comparison.verdicts[0]).toMatchObject({ name: 'time to theirs', committed: 0.4, isLost: true });
  expect(comparison.verdicts[0].loss).toBeCloseTo(0.25);
  expect(comparison.complaints).toEqual(['time to theirs: 0.500 instead of 0.400, 25 % worse; 15 % is allowed']);
  expect(code).toBe(1);
});

test('a ratio that is no longer measured fails, a new one does not', async () => {
  const { ratios } = resultOf(0.4, 3);
  const other = { name: 'a new one', value: 1, better: 'lower' };
  const { code, stderr } = await compared({ ratios: [ratios[0], other] });
  expect(stderr.trim()).toBe('requests to theirs: not measured in this run');
  expect(code).toBe(1);
});

test.each([
  [['--compare', join(folder, 'absent.json')], /absent\.json: ENOENT/],
  [['--result', 'result.json'], /--result is for --compare/],
  [['some.json'], /some\.json: a file is read with --compare only/],
  [['--engine', 'fast'], /--engine fast: one of wasm, wasm-plain, onnx/],
  [['--runs', '0'], /--runs 0: a whole number from 1 on/],
])('%j is refused in a sentence', async (words, sentence) => {
  const { code, stderr } = await bench(...words);
  expect(stderr).toMatch(sentence);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(code).toBe(2);
});

test('a baseline with a key that nobody reads is refused by its name', async () => {
  const { code, stderr } = await compared(resultOf(0.4, 3), { ...BASELINE, ratio: {} });
  expect(stderr).toContain('"ratio"');
  expect(code).toBe(2);
});

test('the short form measures ratios that the committed file has, each a number', async () => {
  const { code, stdout, stderr } = await bench('--short', '--json');
  expect(code, stderr).toBe(0);
  const { ratios } = JSON.parse(stdout) as { ratios: { name: string; value: number }[] };
  const committed = JSON.parse(readFileSync(COMMITTED, 'utf8')).ratios;
  for (const { name, value } of ratios) {
    expect(Object.keys(committed)).toContain(name);
    // Not how large: of one round anything may come.
    expect(value, name).toBeTypeOf('number');
  }
  const kinds = [
    'engine, 1 x 8',
    'request of 1 x 8',
    'requests of a word on 8',
    'static tier, 16',
    'WebAssembly memory',
  ];
  for (const kind of kinds)
    expect(
      ratios.some(({ name }) => name.startsWith(kind)),
      kind,
    ).toBe(true);
});
