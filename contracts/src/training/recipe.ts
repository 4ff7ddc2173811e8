// A training recipe: hyper-parameters as data, one strict block a stage. Nothing here has a default: a recipe says it all.
import { z } from 'zod';

const count = z.int().positive();
const share = z.number().min(0).max(1);
const rate = z.number().nonnegative();

/** AdamW with linear warm-up and cosine (or linear) decay to zero. `lr` is the peak. */
const Schedule = z.strictObject({
  steps: count,
  warmup_steps: z.int().nonnegative(),
  lr: rate,
  weight_decay: rate,
  grad_clip: z.number().positive(),
  decay: z.enum(['cosine', 'linear']),
});

const Lora = z.strictObject({ rank: count, alpha: count, dropout: share });

/** Image-caption pairs that a user has. Paths are relative to the data root that the job's `inputs.data` names. */
export const PairSource = z.strictObject({
  split: z.enum(['train', 'dev']),
  /** `webdataset`: tar shards with KEY.jpg beside KEY.json or KEY.txt. `folder`: images beside .txt files. */
  format: z.enum(['webdataset', 'folder', 'csv', 'jsonl']),
  path: z.string(),
  /** csv and jsonl only: which column names the image file and which the caption(s). */
  image_column: z.string().optional(),
  caption_column: z.string().optional(),
});

/** Text without images. `groups`: captions of one image. `long`: long descriptions. `translations`: one caption in several languages. `plain`: documents. */
export const TextSource = z.strictObject({
  split: z.enum(['train', 'dev']),
  kind: z.enum(['groups', 'long', 'translations', 'plain']),
  path: z.string(),
  /** Keep only rows whose `source` is one of these; absent keeps all. */
  sources: z.array(z.string()).optional(),
});

export const PrepareConfig = z.strictObject({
  stage: z.literal('prepare'),
  pairs: z.array(PairSource).min(1),
  texts: z.array(TextSource),
  /** Images with a longer side than this are shrunk to it (aspect ratio kept) before they are stored, in pixels. */
  max_side: count,
  min_side: count,
  max_pixels: count,
  shard_size: count,
  min_caption_chars: count,
  max_caption_chars: count,
  /** How many of the commonest short phrases of the train captions become texts of their own (search-box queries). */
  fragments: z.int().nonnegative(),
  /** Class names and prompt templates: JSON {classes: [{index, name}], templates: [..{}..]}. */
  classes: z.string().nullable(),
  /** Tar of class images with a .jsonl beside it ({key, index} a row), for zero-shot figures. */
  class_images: z.string().nullable(),
});

/** The causal language model that becomes the text teacher. */
const LanguageModel = z.strictObject({
  /** `gguf_package`: a Python package that carries a GGUF file. `directory`: a Hugging Face folder. */
  source: z.enum(['gguf_package', 'directory']),
  name: z.string(),
});

export const MntpConfig = z.strictObject({
  stage: z.literal('mntp'),
  language_model: LanguageModel,
  lora: Lora,
  mask_share: share,
  mask_token: z.string(),
  /** Share of captions in the mix; the rest are windows of plain documents. */
  caption_share: share,
  max_tokens: count,
  batch_size: count,
  schedule: Schedule,
});

export const ContrastiveConfig = z.strictObject({
  stage: z.literal('contrastive'),
  lora: Lora,
  temperature: z.number().positive(),
  /** Groups a step; every group gives two captions. GradCache embeds them `micro_batch` captions at a time. */
  batch_size: count,
  micro_batch: count,
  max_tokens: count,
  pooling: z.enum(['mean', 'last_token']),
  schedule: Schedule,
});

export const EmbedCaptionsConfig = z.strictObject({
  stage: z.literal('embed_captions'),
  pooling: z.enum(['mean', 'last_token']),
  max_tokens: count,
  /** Tokens a forward pass, padding included. */
  batch_tokens: count,
  shard_size: count,
  /** At most this many different texts of each kind are embedded, the first ones; 0 leaves the kind out. */
  limits: z.strictObject({
    groups: z.int().nonnegative(),
    long: z.int().nonnegative(),
    translations: z.int().nonnegative(),
    fragments: z.int().nonnegative(),
  }),
  /** Templates that turn a class name into prompts; each contains {}. */
  prompt_templates: z.array(z.string().includes('{}')),
});

/** Residual MLP blocks (LayerNorm, Linear d -> expansion * d, GELU, Linear back), then LayerNorm and Linear d -> embed_dim. */
const Adapter = z.strictObject({ blocks: z.int().nonnegative(), expansion: count });

const Backbone = z.strictObject({
  /**
   * A pretrained image tower: `package:NAME` for one that a Python package carries, `open_clip:MODEL@PRETRAINED` or
   * `open_clip:local-dir:FOLDER` for that of a two-tower checkpoint, else a timm name.
   */
  name: z.string(),
  /** Side of the square input, pixels. */
  size: count,
});

export const InheritConfig = z.strictObject({
  stage: z.literal('inherit'),
  backbone: Backbone,
  adapter: Adapter,
  embed_dim: count,
  /** `classifier_rows`: class prompts onto the backbone's classifier. `clip_text`: captions onto the tower's own text encoder. */
  target: z.enum(['classifier_rows', 'clip_text']),
  prompts_per_class: count,
  struct_weight: rate,
  batch_size: count,
  schedule: Schedule,
});

export const ClipConfig = z.strictObject({
  stage: z.literal('clip'),
  /** `llm`: adapter over cached LLM features. `scratch`: the control, a CLIP-style text transformer trained from nothing. */
  text_tower: z.enum(['llm', 'scratch']),
  scratch: z.strictObject({ layers: count, width: count, heads: count, context_length: count, vocabulary_size: count }),
  backbone: Backbone,
  adapter: Adapter,
  embed_dim: count,
  /** Index of the first backbone block that trains; everything below is frozen and its output cached once per crop. */
  first_trainable_block: z.int().nonnegative(),
  crops: count,
  crop_scale: z.tuple([share, share]),
  flip: z.boolean(),
  layer_decay: share,
  backbone_lr: rate,
  /** Batch-independent pull towards the frozen tower: 0.205 * E|v-v0|^2 + 52 * E[smooth-L1 of pairwise distances], times this. */
  regulariser_weight: rate,
  dropout: share,
  batch_size: count,
  schedule: Schedule,
});

export const DistillConfig = z.strictObject({
  stage: z.literal('distill'),
  vocabulary_size: count,
  layers: count,
  width: count,
  heads: count,
  context_length: count,
  /** Where the transformer starts: `scratch`, or a package with a BERT-shaped sentence encoder of the same width. */
  initial_weights: z.string(),
  matryoshka_dims: z.array(count).min(1),
  contrastive_weight: rate,
  temperature: z.number().positive(),
  /** Mixing weight of each kind of text; kinds that the data lacks are left out. */
  mix: z.strictObject({ captions: rate, groups: rate, long: rate, translations: rate, fragments: rate, prompts: rate }),
  batch_tokens: count,
  schedule: Schedule,
  static: z.strictObject({ batch_size: count, schedule: Schedule }),
});

export const ExportConfig = z.strictObject({
  stage: z.literal('export'),
  name: z.string(),
  version: z.string(),
  opset: count,
  image_weights: z.enum(['float16', 'int8']),
  /** Export fails below these cosines to PyTorch float32, over `parity_samples` dev captions and as many images. */
  parity_samples: count,
  min_mean_cosine: share,
  min_worst_cosine: share,
  /** Weights and data that the model was made from: lineage in the manifest, a table in the model card. */
  parents: z.array(z.strictObject({ name: z.string(), source: z.string(), licence: z.string() })),
  /** Sentences for the model card: under which terms the model may be used, and what it was not made for. */
  terms: z.string(),
  limits: z.string(),
});

export const EvaluateConfig = z.strictObject({
  stage: z.literal('evaluate'),
  bootstrap_samples: count,
});

export const StageConfig = z.discriminatedUnion('stage', [
  PrepareConfig,
  MntpConfig,
  ContrastiveConfig,
  EmbedCaptionsConfig,
  InheritConfig,
  ClipConfig,
  DistillConfig,
  ExportConfig,
  EvaluateConfig,
]);
export type StageConfig = z.infer<typeof StageConfig>;
export type StageName = StageConfig['stage'];
export const StageName = z.enum(StageConfig.options.map((option) => option.shape.stage.value));

/** What a person writes: every stage's block without its name, and how often to repeat `clip` for the comparison. */
export const Recipe = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  description: z.string(),
  seed: z.int().nonnegative(),
  /** Folder that PairSource and TextSource paths start from; relative to the recipe file, or set by CLIP_DATA. */
  data: z.string(),
  prepare: PrepareConfig.omit({ stage: true }),
  mntp: MntpConfig.omit({ stage: true }),
  contrastive: ContrastiveConfig.omit({ stage: true }),
  embed_captions: EmbedCaptionsConfig.omit({ stage: true }),
  inherit: InheritConfig.omit({ stage: true }),
  clip: ClipConfig.omit({ stage: true }),
  distill: DistillConfig.omit({ stage: true }),
  export: ExportConfig.omit({ stage: true }),
  evaluate: EvaluateConfig.omit({ stage: true }),
  /** `clip` is also run for every further seed and, with the other text tower, for all of them: the table of the report. */
  comparison: z.strictObject({ seeds: z.array(z.int().nonnegative()) }),
});
export type Recipe = z.infer<typeof Recipe>;
