// A complete recipe with every value small: tests change single fields of it.
import { type Recipe, stagesOf } from '../../contracts/src/training/recipe.ts';

const schedule = { steps: 3, warmup_steps: 1, lr: 0.001, weight_decay: 0, grad_clip: 1, decay: 'cosine' as const };
const lora = { rank: 2, alpha: 4, dropout: 0 };
const backbone = { name: 'package:tiny', size: 32 };
const adapter = { blocks: 1, expansion: 2 };

type Added = 'adapt' | 'imitate' | 'variants' | 'compare' | 'data_source' | 'job_classes' | 'job_arrays';
/** A recipe with every block of a training from data. `adapt` and `imitate` start from a finished model instead, a comparison is added. */
export type WholeRecipe = Required<Omit<Recipe, 'schema_version' | Added>> & Pick<Recipe, Added>;

/** A teacher that is used as it is: a base and two adapters, as LLM2Vec publishes them. */
export function untunedTeacher(): NonNullable<Recipe['embed_captions']>['teachers'][number] {
  return {
    type: 'language_model',
    language_model: { source: 'directory', name: 'base', adapters: ['mntp', 'simcse'] },
  };
}

/** A fresh copy each time: nothing a test changes is shared. */
export function tinyRecipe(): WholeRecipe {
  const recipe: WholeRecipe = {
    name: 'tiny',
    description: 'three steps of everything',
    seed: 1,
    data: '../../data',
    prepare: {
      pairs: [
        { split: 'train', format: 'webdataset', path: 'train-*.tar' },
        { split: 'dev', format: 'webdataset', path: 'dev.tar' },
      ],
      texts: [{ split: 'train', kind: 'plain', path: 'plain.jsonl' }],
      max_side: 64,
      min_side: 8,
      max_pixels: 10_000,
      shard_size: 10,
      min_caption_chars: 1,
      max_caption_chars: 100,
      fragments: 0,
      classes: 'classes.json',
      class_images: null,
    },
    mntp: {
      language_model: { source: 'directory', name: 'tiny' },
      lora,
      mask_share: 0.2,
      mask_token: '_',
      caption_share: 0.5,
      max_tokens: 8,
      batch_size: 2,
      schedule,
    },
    contrastive: {
      lora,
      temperature: 0.02,
      batch_size: 2,
      concept_fraction: 0,
      micro_batch: 2,
      max_tokens: 8,
      pooling: 'mean',
      schedule,
    },
    embed_captions: {
      teachers: [{ type: 'language_model' }],
      pooling: 'mean',
      max_tokens: 8,
      batch_tokens: 64,
      shard_size: 10,
      limits: { groups: 0, long: 0, translations: 0, fragments: 0, concepts: 0 },
      concept_texts: { templates: ['a photo of a {}.'], synonyms: 0, gloss: true, hypernyms: 1, descriptions: 0 },
      prompt_templates: ['a photo of a {}.'],
    },
    inherit: {
      backbone,
      adapter,
      embed_dim: 16,
      target: 'classifier_rows',
      struct_weight: 1,
      batch_size: 2,
      schedule,
    },
    embed_images: {
      backbone,
      first_trainable_block: 0,
      crops: 1,
      crop_scale: [0.5, 1],
      flip: false,
      low_resolution: 0,
      low_resolution_side: [8, 16],
    },
    clip: {
      text_tower: 'llm',
      scratch: { layers: 1, width: 16, heads: 2, context_length: 8, vocabulary_size: 300 },
      adapter,
      embed_dim: 16,
      layer_decay: 0.9,
      backbone_lr: 0.001,
      regulariser_weight: 1,
      rows_weight: 0,
      rows_mixin: 0,
      softmax_weight: 0,
      hypernyms_weight: 0,
      hypernyms_batch: 1,
      labels_weight: 0,
      label_fraction: 0,
      dropout: 0,
      batch_size: 2,
      ema_decay: 0.9,
      evaluate_every: 1,
      schedule,
    },
    vocabulary: { vocabulary_size: 300, alphabet: 100, fallback: 'none' },
    distill: {
      context_length: 8,
      matryoshka_dims: [16, 8],
      contrastive_weight: 1,
      temperature: 0.05,
      image_weight: 0,
      negatives_weight: 0,
      mix: {
        captions: 1,
        captions_tr: 0,
        groups: 1,
        long: 0,
        translations: 0,
        fragments: 0,
        prompts: 0,
        concepts: 0,
        names: 0,
      },
      noise: { typing_errors: 0, symbols: 0 },
      batch_tokens: 64,
      tiers: [
        {
          tier: 'student',
          layers: 1,
          width: 16,
          heads: 2,
          table_width: 16,
          initial_weights: 'scratch',
          static_weight: 0,
          schedule,
        },
      ],
      static: { width: 16, batch_size: 2, schedule },
    },
    export: {
      name: 'tiny',
      version: '1',
      opset: 17,
      image_weights: 'float16',
      parity_samples: 2,
      min_mean_cosine: 0.9,
      max_mib: { student: 24, tiny: 8, static: 4, all: 56 },
      min_worst_cosine: 0.9,
      parents: [],
      terms: 'for tests',
      limits: 'everything',
    },
    evaluate: {},
  };
  // Through JSON, so that blocks share no schedule object either.
  return JSON.parse(JSON.stringify(recipe));
}

/** The stages that it runs. */
export const TINY_STAGES = stagesOf(tinyRecipe());

/** What a recipe that compares itself with a control has beside the others. */
export function tinyComparison(): Required<Pick<Recipe, 'variants' | 'compare'>> {
  return {
    variants: { control: { clip: { text_tower: 'scratch' } } },
    compare: {
      variants: ['control'],
      seeds: [1, 2],
      seeded_from: 'clip',
      at: 'clip',
      metrics: ['loss'],
      bootstrap_samples: 10,
    },
  };
}

/** The block of a recipe that adapts a finished model. */
export function tinyAdapt(): NonNullable<Recipe['adapt']> {
  return {
    model: '../model',
    name: 'adapted',
    version: '1',
    own: {
      path: 'shop',
      dev_path: null,
      dev_share: 0.2,
      classes: null,
      further_captions: null,
      image_column: null,
      caption_columns: null,
      class_column: null,
    },
    space: 'keep',
    text_start: 'model',
    image_fraction: 0.5,
    crops: 1,
    crop_scale: [0.5, 1],
    batch_size: 4,
    image_lr: 0.001,
    static_lr: 0.001,
    schedule,
    minutes: null,
    general_texts: 8,
    general_weight: 1,
  };
}

/** The block of a recipe that learns a published checkpoint's text vectors. */
export function tinyImitate(): NonNullable<Recipe['imitate']> {
  const { distill, vocabulary } = tinyRecipe();
  const { matryoshka_dims: _, image_weight: __, mix: ___, ...student } = distill;
  return {
    checkpoint: '../clip',
    captions: ['captions.txt'],
    features: null,
    most_captions: 100,
    dev_captions: 10,
    student: { ...vocabulary, ...student },
  };
}
