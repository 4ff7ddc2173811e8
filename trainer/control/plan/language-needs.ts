// Memory and hours that a language model of a folder takes in each stage, from the shapes of its tensors. Pure.
import { JOB_CLASSES } from '../../../contracts/src/job-classes.ts';
import { jobClassOf, type StageName } from '../../../contracts/src/stages.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import type { Tensor } from '../recipe/tensors.ts';

/** Memory in bytes, and FLOP per second: a third of the dense bfloat16 peak (two fifths for the H100), as training reaches. */
const GPUS = [
  { gpu: 'A10G', bytes: 24e9, rate: 22e12 },
  { gpu: 'L4', bytes: 24e9, rate: 39e12 },
  { gpu: 'L40S', bytes: 48e9, rate: 115e12 },
  { gpu: 'H100', bytes: 80e9, rate: 400e12 },
] as const;

/** Bytes kept for the way back per token and number that enters or leaves a matrix; Llama-8B's layer measured 193 KiB. */
const KEPT = 2.4;
/** A trained number in float32 with its gradient and AdamW's two averages. */
const TRAINED = 16;
/** How much is embedded is known after `prepare` only. */
const TOKENS_EMBEDDED = 1e8;

export interface LanguageNeeds {
  stage: StageName;
  parameters: number;
  /** Numbers that LoRA trains; 0 where nothing trains. */
  trained: number;
  gpu_bytes: number;
  /** To read the weights, and what the job class has. */
  host_bytes: number;
  class_bytes: number;
  /** At most, with every text as long as what is read of it; 10^8 where the number of texts is not known. */
  tokens: number;
  flop: number;
  gpus: { gpu: string; fits: boolean; hours: number }[];
}

/** The needs of every stage whose language model is a folder. `tensorsOf`: what it holds, empty if nobody knows. */
export function languageNeeds(recipe: Recipe, tensorsOf: (folder: string) => Tensor[]): LanguageNeeds[] {
  const { mntp, contrastive, embed_captions } = recipe;
  const tuned = contrastive?.language_model ?? mntp?.language_model;
  const teachers = (embed_captions?.teachers ?? []).flatMap((teacher) =>
    teacher.type === 'language_model' ? [teacher.language_model ?? tuned] : [],
  );
  const work = [
    ...(mntp === undefined ? [] : [{ model: mntp.language_model, of: (shape: Shape) => ofMntp(mntp, shape) }]),
    ...(contrastive === undefined ? [] : [{ model: tuned, of: (shape: Shape) => ofContrastive(contrastive, shape) }]),
    ...(embed_captions === undefined
      ? []
      : teachers.map((model) => ({ model, of: (shape: Shape) => ofEmbedding(embed_captions, shape) }))),
  ];
  return work.flatMap(({ model, of }) => {
    const tensors = model?.source === 'directory' ? tensorsOf(model.name) : [];
    return tensors.length === 0 ? [] : [needsOf(shapeOf(tensors), of)];
  });
}

/** What follows from the shapes alone. */
interface Shape {
  parameters: number;
  /** Numbers in the matrices of the layers. */
  matrices: number;
  /** Numbers that enter and leave them for one token. */
  flows: number;
  layers: number;
  width: number;
  vocabulary: number;
}

interface Work {
  stage: StageName;
  rank: number;
  tokens: number;
  /** Of one text, at most. */
  length: number;
  /** Forward passes that its computation is worth: the way back through frozen matrices is one. */
  passes: number;
  /** Besides the weights and what LoRA trains. */
  bytes: number;
  /** Of a number of the saved model. */
  saved: number;
}

const LAYER = /\.(?:layers|layer|h|blocks)\.(\d+)\./;

function shapeOf(tensors: readonly Tensor[]): Shape {
  const inLayers = tensors.filter(({ name, shape }) => LAYER.test(`.${name}`) && shape.length > 1);
  const [vocabulary = 0, width = 0] =
    tensors.find(
      ({ name, shape }) =>
        /(embed_tokens|embed_in|wte|word_embeddings|tok_embeddings)/.test(name) && shape.length === 2,
    )?.shape ?? [];
  return {
    parameters: sum(tensors.map(({ shape }) => product(shape))),
    matrices: sum(inLayers.map(({ shape }) => product(shape))),
    flows: sum(inLayers.map(({ shape }) => sum(shape.slice(-2)))),
    layers: new Set(inLayers.map(({ name }) => LAYER.exec(`.${name}`)?.[1])).size,
    width,
    vocabulary,
  };
}

function ofMntp(config: NonNullable<Recipe['mntp']>, shape: Shape): Work {
  const { schedule, batch_size, max_tokens, mask_share, parallel, lora } = config;
  const atOnce = (config.micro_batch ?? batch_size) * max_tokens;
  const isKept = parallel?.activation_checkpointing !== true;
  return {
    stage: 'mntp',
    rank: lora.rank,
    tokens: schedule.steps * batch_size * max_tokens,
    length: max_tokens,
    passes: isKept ? 2 : 3,
    // Logits of masked tokens in bfloat16, in float32, and their gradient.
    bytes: atOnce * keptPerToken(shape, isKept) + mask_share * atOnce * shape.vocabulary * 10,
    saved: bytesOf(config.saved_model),
  };
}

function ofContrastive(config: NonNullable<Recipe['contrastive']>, shape: Shape): Work {
  const { schedule, batch_size, micro_batch, max_tokens, gradient_cache, parallel, lora } = config;
  const isKept = parallel?.activation_checkpointing !== true;
  const isCached = gradient_cache !== false && micro_batch < 2 * batch_size;
  return {
    stage: 'contrastive',
    rank: lora.rank,
    tokens: schedule.steps * 2 * batch_size * max_tokens,
    length: max_tokens,
    passes: 2 + Number(isCached) + Number(!isKept),
    bytes: (gradient_cache === false ? 2 * batch_size : micro_batch) * max_tokens * keptPerToken(shape, isKept),
    saved: bytesOf(config.saved_model),
  };
}

function ofEmbedding(config: NonNullable<Recipe['embed_captions']>, shape: Shape): Work {
  return {
    stage: 'embed_captions',
    rank: 0,
    tokens: TOKENS_EMBEDDED,
    length: config.max_tokens,
    passes: 1,
    bytes: (config.batch_tokens * KEPT * shape.flows) / shape.layers,
    saved: 0,
  };
}

function needsOf(shape: Shape, of: (shape: Shape) => Work): LanguageNeeds {
  const { stage, rank, tokens, length, passes, bytes, saved } = of(shape);
  const trained = rank * shape.flows;
  const gpuBytes = Math.max(2 * shape.parameters + TRAINED * trained + bytes, saved * shape.parameters);
  // A multiplication and an addition per number of a matrix, and the two products of attention over the whole text.
  const flop = passes * tokens * (2 * shape.matrices + 4 * shape.layers * shape.width * length);
  return {
    stage,
    parameters: shape.parameters,
    trained,
    gpu_bytes: gpuBytes,
    host_bytes: 2 * shape.parameters,
    class_bytes: JOB_CLASSES[jobClassOf(stage)].memory_mib * 2 ** 20,
    tokens,
    flop,
    gpus: GPUS.map((row) => ({ gpu: row.gpu, fits: gpuBytes <= row.bytes, hours: flop / row.rate / 3600 })),
  };
}

/** Bytes kept for the way back: everything, or the states between layers and one layer's insides. */
function keptPerToken({ flows, layers, width }: Shape, isKept: boolean): number {
  return isKept ? KEPT * flows : 2 * width * layers + (KEPT * flows) / layers;
}

function bytesOf(saved: { dtype: 'float32' | 'bfloat16' } | undefined): number {
  return saved?.dtype === 'bfloat16' ? 2 : 4;
}

function product(values: readonly number[]): number {
  return values.reduce((total, value) => total * value, 1);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
