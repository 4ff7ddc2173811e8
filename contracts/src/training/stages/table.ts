// The stages of training, one row each, in the order in which they run. Everything that lists stages reads this table.
import type * as z from 'zod';
import type { JobClass } from '../../job-classes.ts';
import {
  adapterFiles,
  backboneFolders,
  checkpointFolders,
  type LocalFolder,
  languageModelFolders,
  soupRuns,
} from '../local-folders.ts';
import {
  type EmbeddedPart,
  IMAGES,
  PARTS_OF_PROMPTS,
  PARTS_OF_STUDENTS,
  PARTS_OF_VOCABULARY,
  type Part,
  partsOfTarget,
  partsOfTowers,
} from '../parts.ts';
import { AdaptConfig } from './adapt.ts';
import { ClipConfig } from './clip.ts';
import { CompareConfig } from './compare.ts';
import { ContrastiveConfig } from './contrastive.ts';
import { DistillConfig } from './distill.ts';
import { EmbedCaptionsConfig } from './embed-captions.ts';
import { EmbedImagesConfig } from './embed-images.ts';
import { EvaluateConfig } from './evaluate.ts';
import { ExportConfig } from './export.ts';
import { ImitateConfig } from './imitate.ts';
import { InheritConfig } from './inherit.ts';
import { MntpConfig } from './mntp.ts';
import { PrepareConfig, type TextKind } from './prepare.ts';
import { readByFirstTier, VocabularyConfig } from './vocabulary.ts';

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
    work: {
      unit: 'pairs',
      amount: ({ schedule, batch_size, soup }) => (soup === undefined ? schedule.steps * batch_size : 1),
    },
    // The two text towers cost differently, and a soup takes no step of its schedule.
    variant: ({ text_tower, soup }) => (soup === undefined ? text_tower : 'soup'),
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
