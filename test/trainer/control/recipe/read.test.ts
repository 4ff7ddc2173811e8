// Sentences for a wrong recipe: where, what, and what is allowed.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import { readRecipe } from '../../../../trainer/control/recipe/read.ts';
import { withAblation } from '../../../../trainer/control/recipe/variants.ts';
import { TINY_STAGES, tinyComparison, tinyRecipe, type WholeRecipe } from '../../../support/tiny-recipe.ts';

const folder = mkdtempSync(join(tmpdir(), 'recipe-'));
const file = join(folder, 'mine.json');
/** Recipes that are extended by name. */
const named = join(folder, 'recipes');
mkdirSync(named);
afterAll(() => rmSync(folder, { recursive: true }));

function problemsOf(text: string): string {
  writeFileSync(file, text);
  try {
    readRecipe(file, named);
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  return 'none';
}

it('the recipe of the guide on large sets is whole', () => {
  const root = join(import.meta.dirname, '..', '..', '..', '..');
  const [, text = ''] =
    /```json\n([\s\S]*?)```/.exec(readFileSync(join(root, 'docs/guides/millions.md'), 'utf8')) ?? [];
  writeFileSync(file, text);
  const { recipe } = readRecipe(file, join(root, 'trainer/recipes'));
  expect(recipe).toMatchObject({ name: 'millions', clip: { batch_size: 4096 }, distill: expect.anything() });
  expect(recipe.mntp).toBeUndefined();
});

/** The tiny recipe as JSON with some members replaced by anything, `undefined` removes one. */
function withMembers(block: keyof WholeRecipe, members: Record<string, unknown>): string {
  const recipe = tinyRecipe();
  return JSON.stringify({ ...recipe, [block]: { ...Object(recipe[block]), ...members } });
}

/** Terms of FG-CLIP 2 on regions. */
const REGIONS = { per_picture: 4, weight: 0.2, negatives_weight: 0.5, text_contrast_weight: 0.1 };

/** The first tier of the tiny recipe. */
const FIRST_TIER = { layers: 1, width: 16, heads: 2, table_width: 16, initial_weights: 'scratch' };

/** What `vocabulary` may repeat of the tiny recipe's `distill`. */
const { context_length, mix, noise, negatives_weight } = tinyRecipe().distill;
const PROJECTION = { context_length, mix, noise, negatives_weight };

const RECIPES = join(import.meta.dirname, '../../../../trainer/recipes');

it.each(readdirSync(RECIPES))('accepts %s of the repository with all its variants', (name) => {
  expect(() => readRecipe(join(RECIPES, name), RECIPES)).not.toThrow();
});

it.each(readdirSync(RECIPES))(
  'the texts that vocabulary reads for the projection of %s are those of distill',
  (name) => {
    const { vocabulary, distill } = readRecipe(join(RECIPES, name), RECIPES).recipe;
    if (vocabulary?.projection !== undefined) expect(distill).toMatchObject(vocabulary.projection);
  },
);

it('accepts the tiny recipe', () => {
  expect(problemsOf(JSON.stringify(tinyRecipe()))).toBe('none');
});

it('accepts fractions that are together the whole step as they are written', () => {
  const fractions = { concept_fraction: 0.33, document_fraction: 0.56, long_fraction: 0.11, batch_size: 8 };
  expect(problemsOf(withMembers('contrastive', fractions))).toBe('none');
});

it.each([
  [withMembers('clip', { text_tower: 'gpt' }), 'clip.text_tower: "gpt" is not allowed; use one of "llm", "scratch"'],
  [withMembers('evaluate', { bootstrap: 3 }), 'evaluate: unknown key "bootstrap"; allowed here: dev_sets'],
  [
    withMembers('inherit', { target: 'clip_text' }),
    'inherit.target is "clip_text", but package:tiny has no text encoder: name an open_clip:… backbone, or use "classifier_rows" or "features"',
  ],
  [
    JSON.stringify({
      ...tinyRecipe(),
      inherit: { ...tinyRecipe().inherit, adapter: { blocks: 1, expansion: 2, own_text_share: 0.5 } },
      clip: { ...tinyRecipe().clip, adapter: { blocks: 1, expansion: 2, own_text_share: 0.5 } },
    }),
    "inherit.adapter.own_text_share averages with the checkpoint's own text vector: embed_captions.teachers has to end with clip_text behind another one, and inherit.target has to be clip_text",
  ],
  [
    withMembers('inherit', { adapter_from: '/models/LLM2CLIP-Openai-L-14-336' }),
    'inherit.adapter_from is an adapter of LLM2CLIP, whose features have length one: set inherit.adapter.input_length to "one", and leave own_text_share out',
  ],
  [
    withMembers('clip', { logit_scale_start: 'checkpoint' }),
    'clip.logit_scale_start is "checkpoint", but package:tiny holds no logit scale: name an open_clip:… backbone, or leave it out',
  ],
  [
    JSON.stringify({
      ...tinyRecipe(),
      clip: { ...tinyRecipe().clip, patch_dropout: 0.5 },
      embed_images: { ...tinyRecipe().embed_images, first_trainable_block: 3 },
    }),
    'clip.patch_dropout is 0.5, but patches are left out before the first block: set embed_images.first_trainable_block to 0, not 3',
  ],
  [
    withMembers('clip', { hard_negatives_weight: 0.5 }),
    'clip.hard_negatives_weight is 0.5, but there are no wrong texts: set embed_captions.hard_negatives',
  ],
  [
    withMembers('clip', { regions: REGIONS }),
    'clip.regions learns from phrases, which are not embedded: set embed_captions.regions',
  ],
  [
    JSON.stringify({
      ...tinyRecipe(),
      clip: { ...tinyRecipe().clip, regions: REGIONS, patch_dropout: 0.5 },
      embed_captions: { ...tinyRecipe().embed_captions, regions: { negatives: 10 } },
      embed_images: { ...tinyRecipe().embed_images, first_trainable_block: 0 },
    }),
    'clip.regions reads every patch of the grid: set clip.patch_dropout to 0, not 0.5',
  ],
  [
    JSON.stringify({
      ...tinyRecipe(),
      clip: { ...tinyRecipe().clip, regions: REGIONS },
      embed_captions: { ...tinyRecipe().embed_captions, regions: { negatives: 10 } },
      embed_images: { ...tinyRecipe().embed_images, first_trainable_block: null },
    }),
    "clip.regions reads the tower's last grid, of which nothing is left where the head alone trains: set embed_images.first_trainable_block to the number of a block, not null",
  ],
  [
    withMembers('clip', { regulariser_ema: 0.999, regulariser_weight: 0 }),
    'clip.regulariser_ema is the teacher of the regulariser: it needs a regulariser_weight above 0',
  ],
  [
    JSON.stringify({
      ...tinyRecipe(),
      clip: { ...tinyRecipe().clip, image_head: 'locked' },
      embed_images: { ...tinyRecipe().embed_images, first_trainable_block: 3 },
    }),
    'clip.image_head is "locked" below blocks that train: set embed_images.first_trainable_block to null, not 3',
  ],
  [
    withMembers('prepare', { texts: [{ split: 'dev', kind: 'plain', path: 'plain.jsonl' }] }),
    'mntp learns from documents and captions: prepare.texts needs a source of split "train" and kind "plain" or "groups", or set mntp.pair_captions',
  ],
  [
    withMembers('prepare', { classes: null }),
    'inherit.target is "classifier_rows": it needs the names of the classes that the backbone knows, in prepare.classes',
  ],
  [
    withMembers('embed_captions', { limits: { groups: 5, long: 0, translations: 0, fragments: 0, concepts: 0 } }),
    'embed_captions.limits.groups is 5, but prepare.texts has no source of kind "groups" and split "train": set it to 0',
  ],
  [
    withMembers('embed_captions', { limits: { groups: 0, long: 0, translations: 0, fragments: 2, concepts: 0 } }),
    'embed_captions.limits.fragments is 2, but prepare.fragments makes 0 of them',
  ],
  [
    withMembers('contrastive', { language_model: { source: 'gguf_package', name: 'tiny' } }),
    'contrastive.language_model is for a recipe without mntp: here contrastive goes on with what mntp trained',
  ],
  [
    JSON.stringify({ ...tinyRecipe(), job_classes: { clip: 'train_8_h100', embed_images: 'train_4_l40s' } }),
    'job_classes.embed_images is "train_4_l40s" with 4 GPUs, but embed_images runs in one process; several can run mntp, contrastive, embed_captions, inherit, clip, distill',
  ],
  [
    JSON.stringify({ ...tinyRecipe(), job_classes: { clip: 'train_2x8_h100', embed_captions: 'train_2x8_h100' } }),
    'job_classes.embed_captions is "train_2x8_h100" with 2 machines, but the processes of embed_captions write into one folder: name a class of one machine',
  ],
  [withMembers('contrastive', { micro_batch: 5 }), 'contrastive.micro_batch 5 is more than the 4 captions of a step'],
  [withMembers('mntp', { batch_size: '32' }), 'mntp.batch_size: expected number, got "32"'],
  [withMembers('mntp', { batch_size: undefined }), 'mntp.batch_size: missing (number)'],
  [
    withMembers('contrastive', { pooling: undefined }),
    'contrastive.pooling: missing; use one of "mean", "weighted_mean", "first_token", "last_token"',
  ],
  [
    withMembers('mntp', { language_model: { source: 'directory', name: 'tiny', template: 'a photo' } }),
    'mntp.language_model.template: a text stands where {} is, which has to be there once and without other braces, got "a photo"',
  ],
  [
    withMembers('contrastive', { concept_fraction: 0.75, document_fraction: 0.5 }),
    'contrastive.concept_fraction 0.75, document_fraction 0.5 and long_fraction 0 are more than the whole step',
  ],
  [
    withMembers('contrastive', { long_fraction: 0.125 }),
    'contrastive.long_fraction 0.125 of batch_size 2 is none of them: set it above 0.25, or to 0',
  ],
  [
    withMembers('mntp', { sampling: 'epochs', caption_share: 0.01 }),
    'mntp.caption_share 0.01 of batch_size 2 is none of them: set it above 0.25, or to 0',
  ],
  [
    withMembers('clip', { labels_weight: 1, label_fraction: 0.02, batch_size: 16 }),
    'clip.label_fraction 0.02 of batch_size 16 is none of them: set it above 0.03125, or to 0',
  ],
  [
    withMembers('embed_images', { low_resolution: 0.25 }),
    'embed_images.low_resolution 0.25 of crops 1 is none of them: set it above 0.5, or to 0',
  ],
  [withMembers('mntp', { mask_share: 1.5 }), 'mntp.mask_share: too big: expected number to be <=1, got 1.5'],
  [
    withMembers('prepare', { pairs: [{ split: 'train', format: 'zip', path: 'a' }] }),
    'prepare.pairs[0].format: "zip" is not allowed; use one of "webdataset", "folder", "csv", "jsonl", "labelled", "any"',
  ],
  [
    withMembers('inherit', { embed_dim: 8 }),
    'inherit.embed_dim is 8 but clip.embed_dim is 16: clip goes on with what inherit trained',
  ],
  [
    withMembers('mntp', { masked_as: { mask_token: 0.8, random_token: 0.3 } }),
    'mntp.masked_as: mask_token 0.8 and random_token 0.3 are fractions of the masked tokens, together at most 1',
  ],
  [
    withMembers('embed_captions', { pooling: 'last_token' }),
    'embed_captions.pooling is "last_token" but contrastive trained for "mean"',
  ],
  [
    withMembers('distill', { matryoshka_dims: [8] }),
    'distill.matryoshka_dims: the largest is 8; it has to be clip.embed_dim, 16',
  ],
  [
    withMembers('distill', { tiers: tinyRecipe().distill.tiers.map((tier) => ({ ...tier, heads: 3 })) }),
    'distill.tiers[0].width 16 is not a multiple of distill.tiers[0].heads 3',
  ],
  [
    withMembers('distill', { tiers: tinyRecipe().distill.tiers.map((tier) => ({ ...tier, tier: 'tiny' })) }),
    'distill.tiers: one of them has to be the student',
  ],
  [
    withMembers('vocabulary', { first_tier: FIRST_TIER }),
    'vocabulary.first_tier is of weights in a package: leave it out, random ones read the entries in distill',
  ],
  [
    withMembers('vocabulary', { first_tier: { ...FIRST_TIER, initial_weights: 'bert' } }),
    'vocabulary.first_tier is {"heads":2,"initial_weights":"bert","layers":1,"table_width":16,"width":16} but distill.tiers[0] is {"heads":2,"initial_weights":"scratch","layers":1,"table_width":16,"width":16}: the static tier starts from what that transformer makes of each entry',
  ],
  [
    withMembers('vocabulary', { projection: PROJECTION }),
    'vocabulary.projection is read by vocabulary.first_tier: name it, or leave the projection out',
  ],
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
  const recipe = { ...tinyRecipe(), seed: -1, epochs: 3, evaluate: { dev_sets: ['tv'] } };
  const lines = problemsOf(JSON.stringify(recipe)).split('\n');
  expect(lines[0]).toContain('3 problems');
  expect(lines.slice(1).map((line) => line.trim().split(/[ :]/)[0])).toEqual([
    'seed',
    'evaluate.dev_sets[0]',
    'unknown',
  ]);
});

it('tells the place where JSON breaks', () => {
  expect(problemsOf('{"name": "tiny",}')).toMatch(/is not JSON: .*position 16/);
});

describe('a recipe that extends another', () => {
  const own = { name: 'mine', description: 'what differs' };

  /** Writes recipes and reads the last one; a file named recipes/… is extended by name. */
  function read(files: Record<string, object>): Recipe {
    for (const [name, document] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(document));
    return readRecipe(join(folder, Object.keys(files).at(-1) ?? ''), named).recipe;
  }

  it('says only what differs: objects are merged, lists and values replaced', () => {
    const recipe = read({
      'base.json': tinyRecipe(),
      'mine.json': {
        ...own,
        extends: 'base.json',
        clip: { schedule: { steps: 9 } },
        embed_captions: { prompt_templates: ['{}', 'a {}'] },
      },
    });
    const expected = tinyRecipe();
    expected.clip.schedule.steps = 9;
    expected.embed_captions.prompt_templates = ['{}', 'a {}'];
    expect(recipe).toEqual({ ...expected, ...own });
  });

  it('takes a block away with null, and keeps a null that is a value', () => {
    const base = tinyRecipe();
    base.prepare.class_images = 'images.tar';
    const recipe = read({
      'base.json': base,
      'mine.json': {
        ...own,
        extends: 'base.json',
        evaluate: null,
        distill: null,
        export: null,
        prepare: { class_images: null },
      },
    });
    const { evaluate: _, distill: __, export: ___, ...rest } = tinyRecipe();
    expect(recipe).toEqual({ ...rest, ...own });
  });

  it('is found by its name, and extends in turn; what is nearest counts', () => {
    const recipe = read({
      'recipes/far.json': { ...tinyRecipe(), seed: 3, data: '../far-data' },
      'recipes/near.json': { ...own, extends: 'far', seed: 4, clip: { dropout: 0.25 } },
      'mine.json': { ...own, extends: 'near', clip: { batch_size: 7 } },
    });
    expect(recipe).toMatchObject({ seed: 4, data: '../far-data', clip: { dropout: 0.25, batch_size: 7 } });
  });

  it('has its data where the file that says so means it', () => {
    read({ 'recipes/far.json': tinyRecipe(), 'mine.json': { ...own, extends: 'far' } });
    expect(readRecipe(file, named).dataFrom).toBe(join(named, 'far.json'));
    read({ 'mine.json': { ...own, extends: 'far', data: '.' } });
    expect(readRecipe(file, named).dataFrom).toBe(file);
  });

  it('is read with the byte-order mark of an editor, and a folder is none', () => {
    read({ 'recipes/far.json': tinyRecipe(), 'mine.json': { ...own, extends: 'far' } });
    writeFileSync(file, `\uFEFF${readFileSync(file, 'utf8')}`);
    expect(readRecipe(file, named).recipe.name).toBe(own.name);
    expect(() => readRecipe(named, named)).toThrow(`${named} is a folder: a recipe is a JSON file`);
  });

  it.each<[object, string]>([
    [{ extends: 'mine.json' }, `${file} extends itself: mine.json -> mine.json`],
    [{ extends: 'circle' }, `${file} extends itself: mine.json -> circle.json -> mine.json`],
    [{ extends: 'nothing' }, `${file}: extends "nothing", but there is no `],
    [{ extends: ['far', 'near'] }, 'extends is the path or the name of one recipe, not ["far","near"]'],
    [{ extends: 'far', name: undefined }, `${file} says no name: a recipe that extends another one has its own`],
    [{ extends: 'far', cilp: {} }, 'unknown key "cilp"; allowed here: schema_version, name'],
    [{ extends: 'faulty' }, 'clip.schedule: unknown key "stps"; allowed here: steps'],
    [{ extends: 'faulty' }, ' (in faulty.json)'],
    [
      { extends: 'far', mntp: null },
      'contrastive reads what mntp makes, but the recipe has no block mntp: give it one',
    ],
    [{ extends: 'far', inherit: { embed_dim: 8 } }, 'inherit.embed_dim is 8 but clip.embed_dim is 16'],
    [{ extends: 'far', mntp: { lora: null } }, 'mntp.lora: missing (object)'],
  ])('is refused where it cannot be: %j', (members, sentence) => {
    expect(() =>
      read({
        'recipes/far.json': tinyRecipe(),
        'recipes/circle.json': { ...own, extends: '../mine.json' },
        'recipes/faulty.json': { ...own, extends: 'far', clip: { schedule: { stps: 3 } } },
        'mine.json': { ...own, ...members },
      }),
    ).toThrow(sentence);
  });
});

describe('variants', () => {
  const compared = (members: object) => JSON.stringify({ ...tinyRecipe(), ...tinyComparison(), ...members });

  it('are recipes, too: each keeps every rule, and is told by its name', () => {
    expect(problemsOf(compared({}))).toBe('none');
    const variants = {
      odd: { clip: { embed_dim: 8 } },
      wrong: { clip: { droput: 0 } },
      headless: { clip: null, distill: null, export: null, evaluate: null },
      base: {},
    };
    const { compare } = tinyComparison();
    const text = compared({ variants, compare: { ...compare, variants: ['headless', 'control'], at: 'cilp' } });
    expect(problemsOf(text).split('\n').slice(1)).toEqual([
      '  compare.variants: there is no control in variants; there are odd, wrong, headless, base',
      `  compare.at is "cilp", which the recipe does not run; it runs ${TINY_STAGES.join(', ')}, compare`,
      '  variants.odd: inherit.embed_dim is 16 but clip.embed_dim is 8: clip goes on with what inherit trained',
      '  variants.odd: distill.matryoshka_dims: the largest is 16; it has to be clip.embed_dim, 8',
      expect.stringContaining('variants.wrong: clip: unknown key "droput"; allowed here: text_tower'),
      '  variants.headless: it has no block cilp, where it is to be compared',
      '  variants.base: that is what the recipe itself is called in a comparison: choose another name',
    ]);
    expect(problemsOf(compared({ variants: { x: { cilp: {} } } }))).toContain('variants.x');
  });

  it('of a base can be changed, and taken away', () => {
    writeFileSync(join(named, 'far.json'), compared({}));
    const own = { name: 'mine', description: 'what differs', extends: 'far' };
    writeFileSync(file, JSON.stringify({ ...own, variants: { control: null, bare: { mntp: null } }, compare: null }));
    expect(readRecipe.bind(undefined, file, named)).toThrow('variants.bare: contrastive reads what mntp makes');
    writeFileSync(
      file,
      JSON.stringify({ ...own, variants: { control: null, calm: { clip: { dropout: 0.5 } } }, compare: null }),
    );
    expect(readRecipe(file, named).recipe.variants).toEqual({ calm: { clip: { dropout: 0.5 } } });
  });

  it.each<[string[], number[] | undefined, object | string]>([
    [['control'], undefined, { variants: ['control'], seeds: [1, 2] }],
    [['all'], [7], { variants: ['control'], seeds: [7] }],
    [['rows'], undefined, 'recipe tiny has no variant rows; there are control'],
  ])('are chosen by name: %j %j', (variants, seeds, expected) => {
    const recipe = { ...tinyRecipe(), ...tinyComparison() };
    const choose = () => withAblation(recipe, { variants, seeds }).compare;
    if (typeof expected === 'string') expect(choose).toThrow(expected);
    else expect(choose()).toEqual({ ...recipe.compare, ...expected });
  });
});
