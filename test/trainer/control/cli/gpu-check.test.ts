// `npm run gpu-check` from outside, on a machine without a GPU.
import { resolve } from 'node:path';
import { beforeAll, expect, it, vi } from 'vitest';
import { gpuCheck } from '../../../../trainer/control/cli/gpu-check.ts';
import { trainerPython } from '../../../support/python.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../../../..');

let python: string;
beforeAll(async () => {
  python = await trainerPython();
});

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const code = await gpuCheck(args, {
    root: ROOT,
    cwd: ROOT,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python, CUDA_VISIBLE_DEVICES: '' },
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

it('says how to try it where there is no GPU', async () => {
  const { code, stdout, stderr } = await run('--device', 'cuda', '--json');
  expect(stderr).toContain('torch finds no GPU here: --device cpu --quick tries everything in small');
  expect(stdout).toBe('');
  expect(code).toBe(2);
});

it('refuses a device that there is none of', async () => {
  const { code, stderr } = await run('--device', 'tpu');
  expect(stderr).toContain("argument --device: invalid choice: 'tpu'");
  expect(code).toBe(2);
});
