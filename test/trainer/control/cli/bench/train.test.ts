// `npm run bench:train` from outside: what it measures is tested in Python.
import { resolve } from 'node:path';
import { beforeAll, expect, it, vi } from 'vitest';
import { benchTrain } from '../../../../../trainer/control/cli/bench/train.ts';
import { captured } from '../../../../support/captured.ts';
import { warmPython } from '../../../../support/python.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../../../../..');

let python: string;
beforeAll(async () => {
  python = await warmPython();
});

it('prints one JSON document of what was asked for', async () => {
  const { code, stdout, stderr } = await captured(benchTrain, ['--json', '--quick', '--only', 'closed form'], {
    root: ROOT,
    cwd: ROOT,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python },
  });
  const { rows } = JSON.parse(stdout) as { rows: { what: string; value: number }[] };
  expect(rows.map(({ what }) => what)).toContain('share of them that 900 images a second take');
  expect(stderr).toContain('[1/1] closed form');
  expect(code).toBe(0);
});
