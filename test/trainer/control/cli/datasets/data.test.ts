// The command line of `npm run data`: what it refuses, and how it says so to a person and to a machine.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { jobDefinitionOutput, queueOutput } from '../../../../../contracts/src/outputs.ts';
import { data } from '../../../../../trainer/control/cli/datasets/data.ts';

const root = mkdtempSync(join(tmpdir(), 'repository '));
const outputs = {
  TrainingBucket: 'training-a1b2',
  TrainingLogs: '/logs',
  ...Object.fromEntries([queueOutput('cpu'), queueOutput('gpu')].map((name) => [name, 'arn:queue'])),
  ...Object.fromEntries((['cpu', 'embed', 'train'] as const).map((name) => [jobDefinitionOutput(name), 'arn:job'])),
};
writeFileSync(join(root, 'cdk-outputs-dev.json'), JSON.stringify({ 'edge-clip-dev-training': outputs }));

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const write = (lines: string[]) => ({ write: (text: string) => void lines.push(text) });
  const streams = { stdout: write(out), stderr: write(err) };
  const code = await data(argv, { root, cwd: root, env: {}, ...streams });
  return { code, out: out.join(''), err: err.join('') };
}

it.each([
  [[], 'there are push, list and show'],
  [['pull'], 'there are push, list and show'],
  [['push'], 'push what? a folder, or a recipe'],
  [['push', 'nowhere'], 'there is no folder'],
  [['push', 'recipes/absent.json'], 'there is no recipe recipes/absent.json'],
  [['push', '.'], '--name says which recipe a folder is the data of'],
  [['push', '.', '--name', 'My Shop'], 'My Shop is not the name of a dataset'],
  [['list', 'shop'], 'list takes no argument, not shop'],
  [['show'], 'show which dataset?'],
  [['show', 'shop', '--name', 'shop'], '--name goes with push, not with show'],
  [['list', '--output', 'x'], 'Did you mean --outputs?'],
])('%j is refused before anything is sent', async (argv, sentence) => {
  const { code, out, err } = await run(...argv);
  expect([code, out]).toEqual([2, '']);
  expect(err).toContain(sentence);
});

it('tells a machine as a document', async () => {
  const { code, out, err } = await run('push', '--json');
  expect([code, err]).toEqual([2, '']);
  expect(JSON.parse(out).refused).toContain('push what?');
});

it('explains itself', async () => {
  const { code, out } = await run('--help');
  expect(code).toBe(0);
  expect(out).toContain('npm run data -- push FOLDER|RECIPE');
});
