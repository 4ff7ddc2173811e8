// `npm run claims` from outside: a folder of runs with nothing in it, and a folder that is not there.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { claims } from '../../../../../trainer/control/cli/claims/claims.ts';
import { captured } from '../../../../support/captured.ts';
import { trainerPython } from '../../../../support/python.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../../../../..');

let folder: string;
let python: string;
beforeAll(async () => {
  python = await trainerPython();
  folder = mkdtempSync(join(tmpdir(), 'claims '));
  mkdirSync(join(folder, 'runs/ablations'), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) =>
  captured(claims, args, {
    root: ROOT,
    cwd: folder,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python },
  });

it('says of every claim that it was not run where there is no comparison', async () => {
  const { code, stdout, stderr } = await run('--runs', 'runs', '--json');
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const { runs, claims: found } = JSON.parse(stdout);
  expect(runs).toBe(join(folder, 'runs/ablations'));
  expect(found.length).toBeGreaterThan(8);
  const verdicts = found.flatMap(({ answers }: { answers: { verdict: string }[] }) => answers.map((a) => a.verdict));
  expect(new Set(verdicts)).toEqual(new Set(['not run']));
});

it('refuses a recipe that has no runs, and an option that there is none of', async () => {
  expect(await run('other', '--runs', 'runs')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('npm run train -- recipes/other.json --ablate control'),
  });
  expect(await run('--seeds', '1')).toMatchObject({ code: 2, stderr: expect.stringContaining('--seeds') });
});
