// The stages of training, one row each, in the order in which they run. Everything else that lists stages reads this table.
import * as z from 'zod';
import type { JobClass } from './job-classes.ts';
import {
  adapterFiles,
  backboneFolders,
  checkpointFolders,
  type LocalFolder,
  languageModelFolders,
  soupRuns,
} from './training/local-folders.ts';
import {
  type EmbeddedPart,
  IMAGES,
  PARTS_OF_PROMPTS,
  PARTS_OF_STUDENTS,
  PARTS_OF_VOCABULARY,
  type Part,
  partsOfTarget,
  partsOfTowers,
} from './training/parts.ts';
import { AdaptConfig } from './training/stages/adapt.ts';
import { ClipConfig } from './training/stages/clip.ts';
import { CompareConfig } from './training/stages/compare.ts';
import { ContrastiveConfig } from './training/stages/contrastive.ts';
import { DistillConfig } from './training/stages/distill.ts';
import { EmbedCaptionsConfig } from './training/stages/embed-captions.ts';
import { EmbedImagesConfig } from './training/stages/embed-images.ts';
import { EvaluateConfig } from './training/stages/evaluate.ts';
import { ExportConfig } from './training/stages/export.ts';
import { ImitateConfig } from './training/stages/imitate.ts';
import { InheritConfig } from './training/stages/inherit.ts';
import { MntpConfig } from './training/stages/mntp.ts';
import { PrepareConfig, type TextKind } from './training/stages/prepare.ts';
import { readByFirstTier, VocabularyConfig } from './training/stages/vocabulary.ts';

/** The role of the user's own files; every other role of a job's `inputs` is the stage that wrote the folder. */
export const DATA = 'data';

export interface StageRow<Config extends z.ZodObject = z.ZodObject, Input extends string = string> {
  /** The block of a recipe, and the stage's name in it as `stage`. */
  config: Config;
  /** Folders that the stage may read: earlier stages, and `data`. */
  inputs: readonly Input[];
  /**
   * Where that depends on the configuration, or on which blocks the recipe has: whether a job reads the input. Inputs
   * that are not named are read always. A stage is always given the inputs that it reads, so a recipe without the block
   * of one of them is refused.
   */
  reads?(config: z.infer<Config>, recipeHas: (input: Input) => boolean): Partial<Record<Input, boolean>>;
  /** The parts of what `prepare` wrote that a job reads: a change of the others leaves its address. Absent: all. */
  prepared?(config: z.infer<Config>): readonly Part[];
  /** The parts of what `embed_captions` wrote that a job reads: a container fetches no others. Absent: all. */
  embedded?(config: z.infer<Config>): readonly EmbeddedPart[];
  jobClass: JobClass;
  /** Several processes may train it together, one per GPU; or work side by side, into one folder of one machine. */
  ranks?: true | 'one machine';
  /** What an estimate of time scales by. Absent where the configuration does not say how much there is to do. */
  work?: { unit: string; amount(config: z.infer<Config>): number };
  /** Runs of different variants are not compared when time is estimated. */
  variant?(config: z.infer<Config>): string;
  /** Folders of this machine that the configuration names: their content is part of the address, a container fetches them. */
  localFolders?(config: z.infer<Config>): LocalFolder[];
}

/** Keeps the types of a row's own configuration and inputs. */
function row<Config extends z.ZodObject, const Input extends string>(
  stage: StageRow<Config, Input>,
): StageRow<Config, Input> {
  return stage;
}

export const STAGES = {
  prepare: row({ config: PrepareConfig, inputs: ['data'], jobClass: 'cpu' }),
  mntp: row({
    config: MntpConfig,
    inputs: ['prepare'],
    prepared: ({ pair_captions }) => ['plain.train', 'groups.train', ...(pair_captions ? ['pairs' as const] : [])],
    jobClass: 'train',
    ranks: true,
    work: {
      unit: 'tokens',
      amount: ({ schedule, batch_size, max_tokens }) => schedule.steps * batch_size * max_tokens,
    },
    localFolders: ({ language_model }) => languageModelFolders(language_model),
  }),
  contrastive: row({
    config: ContrastiveConfig,
    inputs: ['prepare', 'mntp'],
    reads: ({ language_model }) => ({ mntp: language_model === undefined }),
    localFolders: ({ language_model }) => languageModelFolders(language_model),
    prepared: ({ document_fraction = 0 }) => [
      ...(['pairs', 'groups.train', 'long.train', 'concepts.train'] as const),
      ...(document_fraction > 0 ? ['plain.train' as const] : []),
    ],
    jobClass: 'train',
    ranks: true,
    work: {
      unit: 'tokens',
      amount: ({ schedule, batch_size, max_tokens }) => schedule.steps * batch_size * max_tokens,
    },
  }),
  embed_captions: row({
    config: EmbedCaptionsConfig,
    inputs: ['prepare', 'mntp', 'contrastive'],
    prepared: ({ limits }) => [
      'pairs',
      'classes',
      'long.dev',
      ...Object.keys(limits).map((kind): Part => `${kind as TextKind}.train`),
    ],
    // The language model as it was last tuned.
    reads: ({ teachers }, recipeHas) => {
      const hasLanguageModel = teachers.some(
        (teacher) => teacher.type === 'language_model' && teacher.language_model === undefined,
      );
      const tunedByMntpAlone = recipeHas('mntp') && !recipeHas('contrastive');
      return { contrastive: hasLanguageModel && !tunedByMntpAlone, mntp: hasLanguageModel && tunedByMntpAlone };
    },
    localFolders: ({ teachers }) =>
      teachers.flatMap((teacher) => {
        if (teacher.type === 'clip_text') return checkpointFolders(teacher.checkpoint);
        if (teacher.type === 'sentence_encoder') return [];
        return languageModelFolders(teacher.language_model);
      }),
    jobClass: 'embed',
    ranks: 'one machine',
    work: { unit: 'texts', amount: ({ limits }) => 1 + Object.values(limits).reduce((sum, limit) => sum + limit, 0) },
  }),
  inherit: row({
    config: InheritConfig,
    inputs: ['prepare', 'embed_captions'],
    // Features of pictures say which axes the frozen tower's space has; a checkpoint with a text encoder says it itself.
    prepared: ({ target }) => ['pairs', 'classes', ...(target === 'clip_text' ? [] : (['images.train'] as const))],
    embedded: ({ target }) => partsOfTarget(target),
    jobClass: 'train',
    ranks: true,
    work: { unit: 'texts', amount: ({ schedule, batch_size }) => schedule.steps * batch_size },
    localFolders: ({ backbone, adapter_from }) => [...backboneFolders(backbone), ...adapterFiles(adapter_from)],
  }),
  embed_images: row({
    config: EmbedImagesConfig,
    inputs: ['prepare'],
    prepared: () => ['pairs', ...IMAGES, 'class_images'],
    jobClass: 'embed',
    localFolders: ({ backbone }) => backboneFolders(backbone),
  }),
  clip: row({
    config: ClipConfig,
    inputs: ['prepare', 'embed_captions', 'embed_images', 'inherit'],
    // Dev images and those of classes are activations by then; of train images where they are stored.
    prepared: () => ['pairs', 'images.train', 'class_images'],
    embedded: partsOfTowers,
    jobClass: 'train',
    ranks: true,
    work: { unit: 'pairs', amount: ({ schedule, batch_size }) => schedule.steps * batch_size },
    // The two text towers cost differently.
    variant: ({ text_tower }) => text_tower,
    localFolders: ({ soup }) => soupRuns(soup),
  }),
  vocabulary: row({
    config: VocabularyConfig,
    inputs: ['prepare', 'embed_captions'],
    prepared: () => ['pairs', 'groups.train', 'long.train', 'translations.train', 'plain.train', 'concepts.train'],
    embedded: () => PARTS_OF_VOCABULARY,
    jobClass: 'cpu',
    work: { unit: 'entries', amount: ({ vocabulary_size }) => vocabulary_size },
    variant: readByFirstTier,
  }),
  distill: row({
    config: DistillConfig,
    inputs: ['prepare', 'embed_captions', 'clip', 'vocabulary'],
    prepared: ({ image_weight }) => [
      ...(['pairs', 'translations.train', 'concepts.train'] as const),
      ...(image_weight > 0 ? (['images.train'] as const) : []),
    ],
    embedded: () => PARTS_OF_STUDENTS,
    jobClass: 'train',
    ranks: true,
    work: {
      unit: 'tokens',
      amount: ({ tiers, batch_tokens }) => tiers.reduce((sum, { schedule }) => sum + schedule.steps * batch_tokens, 0),
    },
  }),
  export: row({
    config: ExportConfig,
    inputs: ['prepare', 'distill', 'clip'],
    // What is served is compared on dev.
    prepared: () => ['pairs', 'images.dev', 'translations.dev'],
    jobClass: 'cpu',
  }),
  evaluate: row({
    config: EvaluateConfig,
    inputs: ['data', 'prepare', 'contrastive', 'embed_captions', 'clip', 'distill', 'export'],
    // Dev images are embedded by clip: of the images themselves it reads those of classes.
    prepared: () => ['pairs', 'classes', 'class_images'],
    embedded: () => PARTS_OF_PROMPTS,
    // The language model is needed to measure the teacher on texts of the dev sets.
    reads: ({ dev_sets = [] }, recipeHas) => ({
      data: dev_sets.length > 0,
      contrastive: dev_sets.length > 0 && recipeHas('contrastive'),
    }),
    jobClass: 'cpu',
  }),
  // Its inputs are the runs that it compares, by role: `base_1`, `control_1`.
  compare: row({ config: CompareConfig, inputs: [], jobClass: 'cpu' }),
  adapt: row({
    config: AdaptConfig,
    inputs: ['data'],
    jobClass: 'train',
    work: { unit: 'images', amount: ({ schedule, batch_size }) => schedule.steps * batch_size },
    // The image tower costs more than the texts.
    variant: ({ space }) => space,
    localFolders: ({ model }) => [{ path: model, from: 'data', sentence: `adapt.model is the folder ${model}` }],
  }),
  imitate: row({
    config: ImitateConfig,
    inputs: ['data'],
    jobClass: 'train',
    work: {
      unit: 'tokens',
      amount: ({ student: { tiers, batch_tokens } }) =>
        tiers.reduce((sum, { schedule }) => sum + schedule.steps * batch_tokens, 0),
    },
    localFolders: ({ checkpoint }) => checkpointFolders(checkpoint),
  }),
};

type Rows = typeof STAGES;
export type StageName = keyof Rows;

/** In the order in which they run: every stage comes after its inputs. */
export const STAGE_NAMES = Object.keys(STAGES) as [StageName, ...StageName[]];
export const StageName = z.enum(STAGE_NAMES).meta({ title: 'StageName', description: 'A stage of training.' });

/** The configuration of one job: the recipe's block and the name of its stage. */
export const StageConfig = z.discriminatedUnion('stage', configs()).meta({
  title: 'StageConfig',
  description: 'The configuration of one job: a block of the recipe and the name of its stage.',
});
export type StageConfig = z.infer<Rows[StageName]['config']>;

/** The rows as what they have in common. */
const ROWS: Readonly<Record<StageName, StageRow>> = STAGES;

/** Stages that several processes may train together. */
export const RANKED_STAGES: readonly StageName[] = STAGE_NAMES.filter((stage) => ROWS[stage].ranks);

/** Whether the processes of a stage may be on several machines. */
export const spansMachines = (stage: StageName): boolean => ROWS[stage].ranks === true;

/** What the stage may read, in the order of the table. */
export const inputsOf = (stage: StageName): readonly (StageName | typeof DATA)[] => STAGES[stage].inputs;

/** What a job with this configuration reads, in the order of the table; `recipeHas`: whether the recipe has a block. */
export function inputsRead(
  config: StageConfig,
  recipeHas: (stage: StageName) => boolean,
): readonly (StageName | typeof DATA)[] {
  const conditions = ROWS[config.stage].reads?.(config, (input) => input === DATA || recipeHas(input as StageName));
  return inputsOf(config.stage).filter((input) => conditions?.[input] ?? true);
}

/** The job class of a stage, where the recipe names no other. */
export const jobClassOf = (stage: StageName): JobClass => STAGES[stage].jobClass;

/** How much there is to do, in the stage's own unit; 1 where its configuration does not say. */
export const workOf = (config: StageConfig): number => ROWS[config.stage].work?.amount(config) ?? 1;

/** Runs of one kind take a time that grows with their work. */
export function kindOf(config: StageConfig): string {
  const variant = ROWS[config.stage].variant?.(config);
  return variant === undefined ? config.stage : `${config.stage} ${variant}`;
}

/** The parts of what `prepare` wrote that a job with this configuration reads; undefined: all. */
export const preparedParts = (config: StageConfig): readonly Part[] | undefined =>
  ROWS[config.stage].prepared?.(config);

/** The parts of what `embed_captions` wrote that a job with this configuration reads; undefined: all. */
export const embeddedParts = (config: StageConfig): readonly EmbeddedPart[] | undefined =>
  ROWS[config.stage].embedded?.(config);

/** The folders of this machine that a configuration names. */
export const localFoldersOf = (config: StageConfig): LocalFolder[] => ROWS[config.stage].localFolders?.(config) ?? [];

/** One value per stage. */
export function byStage<T>(of: (stage: StageName) => T): Record<StageName, T> {
  return Object.fromEntries(STAGE_NAMES.map((stage) => [stage, of(stage)])) as Record<StageName, T>;
}

function configs() {
  return Object.values(STAGES).map(({ config }) => config) as [
    Rows['prepare']['config'],
    ...Rows[StageName]['config'][],
  ];
}
