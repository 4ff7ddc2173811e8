// Checks of a recipe beyond its contract: values that are each allowed but not together. One table. Pure.
import { ranksOf, resourcesOf } from '../../../../contracts/src/job-classes.ts';
import { RANKED_STAGES, StageName, spansMachines } from '../../../../contracts/src/stages.ts';
import { Schedule } from '../../../../contracts/src/training/blocks.ts';
import { inputsIn, Recipe, stagesOf } from '../../../../contracts/src/training/recipe.ts';
import { DATA } from '../../../../contracts/src/training/stages/table.ts';
import { sentenceOf } from '../sentences.ts';
import { BASE, variedDocument } from '../variants.ts';
import { type Check, unless, type With, where } from './check.ts';
import { FRACTION_CHECKS } from './fractions.ts';
import { TOWER_CHECKS } from './towers.ts';

/** In the order in which problems are listed. A stage would fail on them hours later, or train to no effect. */
const CHECKS: readonly Check[] = [
  (recipe) => unless(stagesOf(recipe).length > 0, 'there is no block of a stage, so there is nothing to run'),
  everyInputIsMade,
  where(['mntp', 'contrastive'], ({ contrastive: { language_model } }) =>
    unless(
      language_model === undefined,
      'contrastive.language_model is for a recipe without mntp: here contrastive goes on with what mntp trained',
    ),
  ),
  where(['mntp'], ({ mntp: { masked_as: { mask_token, random_token } = { mask_token: 0, random_token: 0 } } }) =>
    unless(
      mask_token + random_token <= 1,
      `mntp.masked_as: mask_token ${mask_token} and random_token ${random_token} are fractions of the masked tokens, together at most 1`,
    ),
  ),
  where(['inherit', 'clip'], ({ inherit, clip }) =>
    (['adapter', 'embed_dim'] as const).flatMap((key) =>
      differ([`inherit.${key}`, inherit[key]], [`clip.${key}`, clip[key]], 'clip goes on with what inherit trained'),
    ),
  ),
  where(['inherit', 'embed_images'], ({ inherit, embed_images }) =>
    differ(
      ['inherit.backbone', inherit.backbone],
      ['embed_images.backbone', embed_images.backbone],
      'clip needs both from one tower',
    ),
  ),
  where(['contrastive', 'embed_captions'], ({ contrastive, embed_captions }) =>
    unless(
      contrastive.pooling === embed_captions.pooling,
      `embed_captions.pooling is "${embed_captions.pooling}" but contrastive trained for "${contrastive.pooling}"`,
    ),
  ),
  where(['distill', 'clip'], ({ distill: { matryoshka_dims }, clip }) =>
    unless(
      Math.max(...matryoshka_dims) === clip.embed_dim,
      `distill.matryoshka_dims: the largest is ${Math.max(...matryoshka_dims)}; it has to be clip.embed_dim, ${clip.embed_dim}`,
    ),
  ),
  where(['distill'], ({ distill: { tiers } }) => tiers.flatMap((tier, n) => divides(`distill.tiers[${n}]`, tier))),
  where(['distill'], ({ distill: { tiers } }) => {
    const names = tiers.map(({ tier }) => tier);
    return [
      ...unless(names.includes('student'), 'distill.tiers: one of them has to be the student'),
      ...unless(new Set(names).size === names.length, `distill.tiers: ${names.join(', ')}: each may be there once`),
      ...unless(
        tiers.every(({ initial_weights: from }, n) => from !== 'student' || names.slice(0, n).includes('student')),
        'distill.tiers: a tier that starts from the student comes after it',
      ),
    ];
  }),
  where(['vocabulary', 'distill'], ({ vocabulary: { first_tier }, distill: { tiers } }) => {
    if (first_tier === undefined) return [];
    const { layers, width, heads, table_width, initial_weights } = tiers[0] ?? first_tier;
    if (first_tier.initial_weights === 'scratch')
      return [
        'vocabulary.first_tier is of weights in a package: leave it out, random ones read the entries in distill',
      ];
    return differ(
      ['vocabulary.first_tier', inOrder(first_tier)],
      ['distill.tiers[0]', inOrder({ layers, width, heads, table_width, initial_weights })],
      'the static tier starts from what that transformer makes of each entry',
    );
  }),
  where(['vocabulary'], ({ vocabulary: { first_tier, projection } }) =>
    unless(
      projection === undefined || first_tier !== undefined,
      'vocabulary.projection is read by vocabulary.first_tier: name it, or leave the projection out',
    ),
  ),
  where(['clip'], ({ clip }) => divides('clip.scratch', clip.scratch)),
  where(['prepare', 'mntp'], ({ prepare: { texts }, mntp: { pair_captions = false } }) =>
    unless(
      pair_captions || texts.some(({ kind, split }) => split === 'train' && (kind === 'plain' || kind === 'groups')),
      'mntp learns from documents and captions: prepare.texts needs a source of split "train" and kind "plain" or "groups", or set mntp.pair_captions',
    ),
  ),
  where(['prepare', 'embed_captions'], ({ prepare, embed_captions: { limits } }) =>
    Object.entries(limits).flatMap(([kind, limit]) => {
      if (kind === 'fragments')
        return unless(
          limit <= prepare.fragments,
          `embed_captions.limits.fragments is ${limit}, but prepare.fragments makes ${prepare.fragments} of them`,
        );
      const isThere = prepare.texts.some((source) => source.kind === kind && source.split === 'train');
      return unless(
        limit === 0 || isThere,
        `embed_captions.limits.${kind} is ${limit}, but prepare.texts has no source of kind "${kind}" and split "train": set it to 0`,
      );
    }),
  ),
  where(['inherit'], ({ prepare, inherit: { target, backbone } }) => {
    const isCheckpoint = backbone.name.startsWith('open_clip:');
    if (target === 'clip_text')
      return unless(
        isCheckpoint,
        `inherit.target is "clip_text", but ${backbone.name} has no text encoder: name an open_clip:… backbone, or use "classifier_rows" or "features"`,
      );
    if (target === 'features') return [];
    return [
      ...unless(
        !isCheckpoint,
        `inherit.target is "classifier_rows", but ${backbone.name} is not a classifier: use "clip_text"`,
      ),
      ...unless(
        prepare === undefined || prepare.classes !== null,
        'inherit.target is "classifier_rows": it needs the names of the classes that the backbone knows, in prepare.classes',
      ),
    ];
  }),
  ...TOWER_CHECKS,
  ...FRACTION_CHECKS,
  where(['contrastive'], ({ contrastive: { concept_fraction, document_fraction = 0, long_fraction = 0 } }) =>
    unless(
      // In binary 0.33 + 0.56 + 0.11 is a little more than 1.
      concept_fraction + document_fraction + long_fraction <= 1 + 1e-9,
      `contrastive.concept_fraction ${concept_fraction}, document_fraction ${document_fraction} and long_fraction ${long_fraction} are more than the whole step`,
    ),
  ),
  where(['prepare'], ({ prepare: { classes, class_images } }) =>
    unless(
      class_images === null || classes !== null,
      'prepare.class_images are pictures of classes whose names are missing: set prepare.classes',
    ),
  ),
  where(['contrastive'], ({ contrastive: { batch_size, micro_batch } }) =>
    unless(
      micro_batch <= 2 * batch_size,
      `contrastive.micro_batch ${micro_batch} is more than the ${2 * batch_size} captions of a step`,
    ),
  ),
  where(['prepare', 'clip'], ({ prepare, clip }) =>
    unless(
      prepare.classes !== null || (clip.rows_weight === 0 && clip.softmax_weight === 0),
      'clip.rows_weight and clip.softmax_weight keep what the image tower knows of classes: set prepare.classes, or both to 0',
    ),
  ),
  where(['embed_images'], ({ embed_images: { crop_scale } }) =>
    unless(
      crop_scale[0] <= crop_scale[1],
      `embed_images.crop_scale: the smaller fraction comes first, not ${crop_scale.join(', ')}`,
    ),
  ),
  where(['prepare'], ({ prepare: { pairs } }) =>
    unless(
      (['train', 'dev'] as const).every((wanted) => pairs.some(({ split }) => split === wanted)),
      'prepare.pairs: at least one source of split "train" and one of split "dev" are needed',
    ),
  ),
  where(['adapt'], ({ adapt: { crop_scale } }) =>
    unless(
      crop_scale[0] <= crop_scale[1],
      `adapt.crop_scale: the smaller fraction comes first, not ${crop_scale.join(', ')}`,
    ),
  ),
  jobClassesFit,
  where(['compare'], compared),
  (recipe) => Object.keys(recipe.variants ?? {}).flatMap((name) => variantProblems(recipe, name)),
  (recipe) =>
    schedulesOf(recipe).flatMap(([name, { steps, warmup_steps }]) =>
      unless(warmup_steps <= steps, `${name}.warmup_steps is ${warmup_steps}, more than its ${steps} steps`),
    ),
];

/** Every problem of a recipe that keeps its contract, as sentences. */
export function contradictions(recipe: Recipe): string[] {
  return CHECKS.flatMap((problemsOf) => problemsOf(recipe));
}

/** A stage runs on what others made: their blocks have to be there. */
function everyInputIsMade(recipe: Recipe): string[] {
  return stagesOf(recipe).flatMap((stage) =>
    inputsIn(recipe, stage).flatMap((input) =>
      unless(
        input === DATA || recipe[input] !== undefined,
        `${stage} reads what ${input} makes, but the recipe has no block ${input}: give it one, or leave ${stage} out, too`,
      ),
    ),
  );
}

/** Several GPUs are for stages that several processes can train. */
function jobClassesFit(recipe: Recipe): string[] {
  return Object.entries(recipe.job_classes ?? {}).flatMap(([name, jobClass]) => {
    const stage = StageName.parse(name);
    const ranks = ranksOf(jobClass);
    const { nodes } = resourcesOf(jobClass);
    return [
      ...unless(
        ranks === 1 || RANKED_STAGES.includes(stage),
        `job_classes.${stage} is "${jobClass}" with ${ranks} GPUs, but ${stage} runs in one process; several can run ${RANKED_STAGES.join(', ')}`,
      ),
      ...unless(
        nodes === 1 || !RANKED_STAGES.includes(stage) || spansMachines(stage),
        `job_classes.${stage} is "${jobClass}" with ${nodes} machines, but the processes of ${stage} write into one folder: name a class of one machine`,
      ),
    ];
  });
}

/** What is compared has to be there: variants, and the stage at which they are measured. */
function compared(recipe: With<'compare'>): string[] {
  const { variants, seeds, at, seeded_from } = recipe.compare;
  const [known, stages]: string[][] = [Object.keys(recipe.variants ?? {}), stagesOf(recipe)];
  return [
    ...variants.flatMap((name) =>
      unless(
        known?.includes(name) === true,
        `compare.variants: there is no ${name} in variants; there are ${known?.join(', ')}`,
      ),
    ),
    ...unless(
      new Set(seeds).size === seeds.length,
      `compare.seeds names one twice, which says nothing of chance: ${seeds.join(', ')}`,
    ),
    ...Object.entries({ at, seeded_from }).flatMap(([key, stage]) =>
      unless(
        stage !== 'compare' && stages?.includes(stage) === true,
        `compare.${key} is "${stage}", which the recipe does not run; it runs ${stages?.join(', ')}`,
      ),
    ),
  ];
}

/** A variant is a recipe, too: it keeps the contract and every check that the recipe itself keeps. */
function variantProblems(recipe: Recipe, name: string): string[] {
  const document = variedDocument(recipe, name);
  const result = Recipe.safeParse(document);
  const problems = result.success
    ? contradictions(result.data)
    : result.error.issues.map((issue) => sentenceOf(issue, document, Recipe));
  const at = recipe.compare?.variants.includes(name) === true ? recipe.compare.at : undefined;
  if (result.success && at !== undefined && result.data[at as StageName] === undefined)
    problems.push(`it has no block ${at}, where it is to be compared`);
  if (name === BASE) problems.push('that is what the recipe itself is called in a comparison: choose another name');
  const own = new Set(contradictions({ ...recipe, variants: undefined }));
  return problems.filter((problem) => !own.has(problem)).map((problem) => `variants.${name}: ${problem}`);
}

function differ([name, value]: [string, unknown], [other, wanted]: [string, unknown], why: string): string[] {
  const [first, second] = [JSON.stringify(value), JSON.stringify(wanted)];
  return unless(first === second, `${name} is ${first} but ${other} is ${second}: ${why}`);
}

/** Its members sorted by name, so that two objects can be compared as they are written. */
const inOrder = (members: object): object =>
  Object.fromEntries(Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1)));

function divides(block: string, { width, heads }: { width: number; heads: number }): string[] {
  return unless(width % heads === 0, `${block}.width ${width} is not a multiple of ${block}.heads ${heads}`);
}

/** Every schedule of a recipe by its path, in whatever block of a stage it is. */
function schedulesOf(recipe: Recipe): [string, Schedule][] {
  const found: [string, Schedule][] = [];
  const walk = (path: string, value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { success, data } = Schedule.safeParse(value);
    if (success) found.push([path, data]);
    else for (const [key, member] of Object.entries(value)) walk(`${path}.${key}`, member);
  };
  for (const stage of stagesOf(recipe)) walk(stage, recipe[stage]);
  return found;
}
