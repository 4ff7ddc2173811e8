// The table of stages keeps what everything that reads it relies on.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { QUEUES } from '../../contracts/src/job-classes.ts';
import { jobDefinitionOutput, queueOutput } from '../../contracts/src/outputs.ts';
import { DATA, inputsOf, STAGE_NAMES, STAGES } from '../../contracts/src/stages.ts';
import { Recipe } from '../../contracts/src/training/recipe.ts';

it.each(STAGE_NAMES)('%s stands under its own name and after what it reads', (stage) => {
  expect(STAGES[stage].config.shape.stage.value).toBe(stage);
  const before = STAGE_NAMES.slice(0, STAGE_NAMES.indexOf(stage));
  expect([...before, DATA]).toEqual(expect.arrayContaining([...inputsOf(stage)]));
});

it.each(STAGE_NAMES)('%s reads every input of its row and no other', (stage) => {
  // A container downloads every input: one that the stage does not read costs minutes per attempt.
  const source = readFileSync(join(import.meta.dirname, '../../trainer/stages', `${stage}.py`), 'utf8');
  const read = [...source.matchAll(/\brun\.input\("(\w+)"/g)].map(([, role = '']) => role);
  expect([...new Set(read)].sort()).toEqual([...inputsOf(stage)].sort());
});

it('every stage has a Python file, and every Python file a row', () => {
  const files = readdirSync(join(import.meta.dirname, '../../trainer/stages'))
    .filter((file) => file.endsWith('.py') && file !== '__init__.py')
    .map((file) => file.replace(/\.py$/, ''));
  expect(files.sort()).toEqual([...STAGE_NAMES].sort());
});

it('a recipe has one block per stage', () => {
  const others = ['schema_version', 'name', 'description', 'seed', 'data', 'comparison'];
  expect(Object.keys(Recipe.shape).filter((key) => !others.includes(key))).toEqual(STAGE_NAMES);
});

it('outputs of the stacks keep their names', () => {
  expect(QUEUES.map(queueOutput)).toEqual(['QueueCpu', 'QueueGpu']);
  const classes = ['cpu', 'embed', 'train'] as const;
  expect(classes.map(jobDefinitionOutput)).toEqual(['JobDefinitionCpu', 'JobDefinitionEmbed', 'JobDefinitionTrain']);
});
