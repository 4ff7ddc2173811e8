// `npm run claims` from outside: folders of runs with nothing in them, and what is left to run of a small recipe.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { claims } from '../../../../../trainer/control/cli/claims/claims.ts';
import { type ClaimsPlan, planText } from '../../../../../trainer/control/cli/claims/plan.ts';
import { captured } from '../../../../support/captured.ts';
import { warmPython } from '../../../../support/python.ts';
import { tinyComparison, type WholeRecipe } from '../../../../support/tiny-recipe.ts';
import { createRepository, train } from '../../../../support/tiny-repository.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../../../../..');

let folder: string;
let python: string;
beforeAll(async () => {
  python = await warmPython();
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

/** A recipe with a variant of every name that the claims compare. */
function withVariants(recipe: WholeRecipe): void {
  const names = [
    'control',
    'llm',
    'llm_no_contrastive',
    'llm_raw',
    'minilm',
    'no_contrastive',
    'no_mntp',
    'no_inherit',
  ];
  names.push('no_regulariser', 'adapter_0', 'adapter_2', 'adapter_8', 'long_0', 'long_25', 'long_50');
  const variants = Object.fromEntries(names.map((name, number) => [name, { clip: { dropout: (number + 1) / 100 } }]));
  Object.assign(recipe, { ...tinyComparison(), variants });
}

it('plans what answers the questions that are open, each comparison with its own runs and all with what they share once', async () => {
  const repository = createRepository(withVariants);
  const { root } = repository;
  // The stages are those of the small repository, the questions those of this one.
  const interpreter = join(root, 'python');
  const path = `${join(ROOT, 'trainer')}:${join(ROOT, 'contracts/python')}`;
  writeFileSync(interpreter, `#!/bin/sh\nPYTHONPATH='${path}' exec '${python}' "$@"\n`, { mode: 0o755 });
  const env = { PATH: process.env.PATH, TRAINER_PYTHON: interpreter };
  const run = (...args: string[]) => captured(claims, ['tiny', '--plan', ...args], { root, cwd: root, env });
  const plan = async (): Promise<ClaimsPlan> => JSON.parse((await run('--json')).stdout);

  const before = await plan();
  const asked = before.comparisons.flatMap(({ questions }) => questions);
  expect(asked.length).toBeGreaterThan(30);
  const commands = before.comparisons.map(({ command }) => command);
  expect(commands).toContain('npm run train -- recipes/tiny.json --ablate adapter_0');
  expect(new Set(commands).size).toBe(commands.length);
  // Every stage up to `clip`, that once more of each arm and seed, then the comparison: no earlier run says how long.
  const [first] = before.comparisons;
  const jobs = first?.jobs ?? 0;
  expect(first).toMatchObject({ missing: jobs, estimated_seconds: 0, without_estimate: jobs, measure: true });
  const single = before.comparisons.reduce((sum, { missing }) => sum + missing, 0);
  expect(before.together.missing).toBeLessThan(single);
  expect(planText(before)).toContain('--ablate control, then npm run claims -- tiny --measure\n');

  writeFileSync(join(root, 'measured-clip.json'), JSON.stringify({ mean_recall: 0.5 }));
  expect((await train(root, ['recipes/tiny.json', '--ablate', 'control,adapter_0'])).code).toBe(0);
  const after = await plan();
  const left = [...after.comparisons, after.measure].flatMap(({ questions }) => questions);
  expect(left).toHaveLength(asked.length - 2);
  // What is left of another comparison: two runs of `clip` of a minute each, and the table.
  const other = after.comparisons.find(({ command }) => command.endsWith('adapter_2'));
  expect(other).toMatchObject({ jobs, missing: 3, estimated_seconds: 180, without_estimate: 0 });
  // Runs that have both arms are measured as they are.
  expect(after.measure.command).toBe('npm run claims -- tiny --measure');
  expect(after.measure.questions).toContain('Flickr8k dev in Chinese (people), mean recall');
  const text = planText(after);
  expect(text).toContain(`${left.length} questions have no figures yet.`);
  expect(text).toContain(
    `--ablate adapter_2\n  3 of ${jobs} runs to do, about 3 min by earlier runs\n  answers: Flickr8k dev`,
  );
  expect(text).toContain('npm run claims -- tiny --measure\n  the runs are there: minutes to an hour\n');
  expect(await run('--write-docs')).toMatchObject({ code: 2, stderr: expect.stringContaining('--plan') });
});
