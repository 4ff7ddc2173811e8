// `npm run gpu-check` from outside, on a machine without a GPU.
import { resolve } from 'node:path';
import { beforeAll, expect, it, vi } from 'vitest';
import { gpuCheck } from '../../../../trainer/control/cli/gpu-check.ts';
import { captured } from '../../../support/captured.ts';
import { warmPython } from '../../../support/python.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../../../..');

let python: string;
beforeAll(async () => {
  python = await warmPython();
});

const run = (...args: string[]) =>
  captured(gpuCheck, args, {
    root: ROOT,
    cwd: ROOT,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python, CUDA_VISIBLE_DEVICES: '' },
  });

it.each([[[]], [['--device', 'cuda', '--json']]])(
  'where there is no GPU it refuses and says how to try it: %j',
  async (args) => {
    const { code, stdout, stderr } = await run(...args);
    expect(stderr).toMatch(/torch finds no GPU here \(torch .* was built .* CUDA.*\)\. Run it where there is one/);
    expect(stderr).toContain('try everything in small with --device cpu');
    expect(stdout).toBe('');
    expect(code).toBe(2);
  },
);

it('refuses a device that there is none of', async () => {
  const { code, stderr } = await run('--device', 'tpu');
  expect(stderr).toContain("argument --device: invalid choice: 'tpu'");
  expect(code).toBe(2);
});
