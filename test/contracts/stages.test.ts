// The table of stages keeps what everything that reads it relies on.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { QUEUES } from '../../contracts/src/job-classes.ts';
import { jobDefinitionOutput, queueOutput } from '../../contracts/src/outputs.ts';
import { inputsOf, STAGE_NAMES } from '../../contracts/src/stages.ts';
import { configOf, Recipe } from '../../contracts/src/training/recipe.ts';
import { DATA, STAGES, type StageRow } from '../../contracts/src/training/stages/table.ts';
import { tinyAdapt, tinyComparison, tinyImitate, tinyRecipe } from '../support/tiny-recipe.ts';

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

it.each(STAGE_NAMES)('%s names inputs of its own row only where it reads them on a condition', (stage) => {
  // A name that is not an input would be a condition that never holds.
  const row: StageRow = STAGES[stage];
  const recipe = { ...tinyRecipe(), ...tinyComparison(), adapt: tinyAdapt(), imitate: tinyImitate() };
  const config = configOf(recipe, stage);
  for (const has of [() => true, () => false])
    expect(row.inputs).toEqual(expect.arrayContaining(Object.keys(row.reads?.(config, has) ?? {})));
});

it('every stage has a Python file, and every Python file a row', () => {
  const files = readdirSync(join(import.meta.dirname, '../../trainer/stages'))
    .filter((file) => file.endsWith('.py') && file !== '__init__.py')
    .map((file) => file.replace(/\.py$/, ''));
  expect(files.sort()).toEqual([...STAGE_NAMES].sort());
});

it('a recipe has one block per stage', () => {
  const others = [
    'schema_version',
    'name',
    'description',
    'seed',
    'data',
    'data_source',
    'job_arrays',
    'job_classes',
    'variants',
  ];
  expect(Object.keys(Recipe.shape).filter((key) => !others.includes(key))).toEqual(STAGE_NAMES);
});

it('outputs of the stacks keep their names', () => {
  expect(QUEUES.map(queueOutput)).toEqual(['QueueCpu', 'QueueGpu', 'QueueGpus', 'QueueH100', 'QueueNodes']);
  const classes = ['cpu', 'embed', 'train', 'train_2x8_h100'] as const;
  expect(classes.map(jobDefinitionOutput)).toEqual([
    'JobDefinitionCpu',
    'JobDefinitionEmbed',
    'JobDefinitionTrain',
    'JobDefinitionTrain2x8H100',
  ]);
});
