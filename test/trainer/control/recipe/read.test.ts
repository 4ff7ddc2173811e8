// What a person reads when a recipe is wrong: where, what, and what is allowed.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import { readRecipe } from '../../../../trainer/control/recipe/read.ts';
import { tinyRecipe } from '../../../support/tiny-recipe.ts';

const file = join(mkdtempSync(join(tmpdir(), 'recipe-')), 'mine.json');

function problemsOf(text: string): string {
  writeFileSync(file, text);
  try {
    readRecipe(file);
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  return 'none';
}

/** The tiny recipe as JSON with some members replaced by anything, `undefined` removes one. */
function withMembers(block: keyof Recipe, members: Record<string, unknown>): string {
  const recipe = tinyRecipe();
  return JSON.stringify({ ...recipe, [block]: { ...Object(recipe[block]), ...members } });
}

it('accepts the tiny recipe', () => {
  expect(problemsOf(JSON.stringify(tinyRecipe()))).toBe('none');
});

it.each([
  [withMembers('clip', { text_tower: 'gpt' }), 'clip.text_tower: "gpt" is not allowed; use one of "llm", "scratch"'],
  [withMembers('evaluate', { bootstrap: 3 }), 'evaluate: unknown key "bootstrap"; allowed here: bootstrap_samples'],
  [withMembers('mntp', { batch_size: '32' }), 'mntp.batch_size: expected number, got "32"'],
  [withMembers('mntp', { batch_size: undefined }), 'mntp.batch_size: missing (number)'],
  [withMembers('contrastive', { pooling: undefined }), 'contrastive.pooling: missing; use one of "mean", "last_token"'],
  [withMembers('mntp', { mask_share: 1.5 }), 'mntp.mask_share: too big: expected number to be <=1, got 1.5'],
  [
    withMembers('prepare', { pairs: [{ split: 'train', format: 'zip', path: 'a' }] }),
    'prepare.pairs[0].format: "zip" is not allowed; use one of "webdataset", "folder", "csv", "jsonl"',
  ],
  [
    withMembers('inherit', { embed_dim: 8 }),
    'inherit.embed_dim is 8 but clip.embed_dim is 16: clip goes on with what inherit trained',
  ],
  [
    withMembers('embed_captions', { pooling: 'last_token' }),
    'embed_captions.pooling is "last_token" but contrastive trained for "mean"',
  ],
  [
    withMembers('distill', { matryoshka_dims: [8] }),
    'distill.matryoshka_dims: the largest is 8; it has to be clip.embed_dim, 16',
  ],
  [withMembers('distill', { heads: 3 }), 'distill.width 16 is not a multiple of distill.heads 3'],
])('says what is wrong (%#)', (text, line) => {
  expect(problemsOf(text).split('\n')).toEqual([`UserError: ${file} has 1 problem:`, `  ${line}`]);
});

it('finds a warm-up that is longer than its schedule in whatever block it is', () => {
  const recipe = tinyRecipe();
  const { steps } = recipe.distill.static.schedule;
  recipe.distill.static.schedule.warmup_steps = steps + 1;
  recipe.mntp.schedule.warmup_steps = recipe.mntp.schedule.steps + 1;
  expect(problemsOf(JSON.stringify(recipe)).split('\n').slice(1)).toEqual([
    `  mntp.schedule.warmup_steps is ${recipe.mntp.schedule.steps + 1}, more than its ${recipe.mntp.schedule.steps} steps`,
    `  distill.static.schedule.warmup_steps is ${steps + 1}, more than its ${steps} steps`,
  ]);
});

it('lists every problem at once', () => {
  const recipe = { ...tinyRecipe(), seed: -1, epochs: 3, comparison: { seeds: [0.5] } };
  const lines = problemsOf(JSON.stringify(recipe)).split('\n');
  expect(lines[0]).toContain('3 problems');
  expect(lines.slice(1).map((line) => line.trim().split(/[ :]/)[0])).toEqual([
    'seed',
    'comparison.seeds[0]',
    'unknown',
  ]);
});

it('tells the place where JSON breaks', () => {
  expect(problemsOf('{"name": "tiny",}')).toMatch(/is not JSON: .*position 16/);
});
