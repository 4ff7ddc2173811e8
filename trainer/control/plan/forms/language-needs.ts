// Memory and hours that a language model takes in each stage, from the shapes of its tensors. Pure.
import { JOB_CLASSES } from '../../../../contracts/src/job-classes.ts';
import { jobClassOf, type StageName } from '../../../../contracts/src/stages.ts';
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import type { Tensor, Weights } from '../../recipe/tensors.ts';
import { type Counted, type Facts, type Form, sum, total } from './form.ts';
import { CHARACTERS_PER_TOKEN, GPU_RATES, type Gpu } from './rates.ts';
import { textsToEmbed } from './texts.ts';

/** Memory in bytes. */
const GPUS: readonly { gpu: Gpu; bytes: number }[] = [
  { gpu: 'A10G', bytes: 24e9 },
  { gpu: 'L4', bytes: 24e9 },
  { gpu: 'L40S', bytes: 48e9 },
  { gpu: 'H100', bytes: 80e9 },
];

/** Bytes kept for the way back per token and number that enters or leaves a matrix; Llama-8B's layer measured 193 KiB. */
const KEPT = 2.4;
/** A trained number in float32 with its gradient and AdamW's two averages. */
const TRAINED = 16;
const GPUS_OF_A_MACHINE = 8;
/** How much is embedded is known after `prepare` only. */
const TOKENS_EMBEDDED = 1e8;
/** Before `prepare` has counted captions. Documents fill what is read of them; captions do not. */
const UNKNOWN: Partial<Record<StageName, string[]>> = {
  contrastive: ['how long texts are: hours are for texts of `max_tokens`'],
  embed_captions: [`the number of texts: hours are for ${TOKENS_EMBEDDED.toExponential(0)} tokens`],
};

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

/** What is known besides the recipe. */
type Known = Pick<Facts, 'ranks' | 'counted'>;

/** The tensors of a model; empty if they are not known. */
export type TensorsOf = (weights: Weights) => Tensor[];

/** The needs of every stage whose language model is a folder, on one GPU. */
export function languageNeeds(recipe: Recipe, tensorsOf: TensorsOf): LanguageNeeds[] {
  const inFolders: TensorsOf = (weights) => (weights.in === 'directory' ? tensorsOf(weights) : []);
  return languageWork(recipe, inFolders, { ranks: 1 }).map(({ shape, work }) => needsOf(shape, work));
}

/** The closed form of a stage with a language model on several ranks; of several teachers the one that takes most. */
export function languageForm(
  stage: StageName,
  { recipe, tensorsOf, facts }: { recipe: Recipe; tensorsOf: TensorsOf; facts: Known },
): Form | undefined {
  const forms = languageWork(recipe, tensorsOf, facts).flatMap(({ shape, work }) =>
    work.stage === stage ? [toForm(shape, work, facts)] : [],
  );
  const [largest] = forms.toSorted((a, b) => total(b, b.atOnce) - total(a, a.atOnce));
  return largest === undefined ? undefined : { ...largest, flop: sum(forms.map(({ flop }) => flop)) };
}

/** Width of a text's features where the tensors of every teacher are known. */
export function featureWidth(recipe: Recipe, tensorsOf: TensorsOf): number | undefined {
  const teachers = recipe.embed_captions?.teachers ?? [];
  const found = languageWork(recipe, tensorsOf, { ranks: 1 }).filter(({ work }) => work.stage === 'embed_captions');
  return teachers.length > 0 && found.length === teachers.length
    ? sum(found.map(({ shape }) => shape.width))
    : undefined;
}

/** Every use of a language model whose tensors are known. */
function languageWork(recipe: Recipe, tensorsOf: TensorsOf, known: Known): { shape: Shape; work: Work }[] {
  const { mntp, contrastive, embed_captions } = recipe;
  const tuned = weightsOf(contrastive?.language_model ?? mntp?.language_model);
  const teachers = (embed_captions?.teachers ?? []).flatMap((teacher): (Weights | undefined)[] => {
    if (teacher.type === 'sentence_encoder') return [{ in: 'package', name: teacher.package }];
    return teacher.type === 'language_model' ? [weightsOf(teacher.language_model) ?? tuned] : [];
  });
  const work = [
    ...(mntp === undefined
      ? []
      : [{ model: weightsOf(mntp.language_model), of: (shape: Shape) => ofMntp(mntp, shape, known) }]),
    ...(contrastive === undefined
      ? []
      : [{ model: tuned, of: (shape: Shape) => ofContrastive(contrastive, shape, known) }]),
    ...(embed_captions === undefined
      ? []
      : teachers.map((model) => ({ model, of: (shape: Shape) => ofEmbedding(embed_captions, shape, known) }))),
  ];
  return work.flatMap(({ model, of }) => {
    const tensors = model === undefined ? [] : tensorsOf(model);
    if (tensors.length === 0) return [];
    const shape = shapeOf(tensors);
    return [{ shape, work: of(shape) }];
  });
}

function weightsOf(model: NonNullable<Recipe['mntp']>['language_model'] | undefined): Weights | undefined {
  return model && { in: model.source === 'directory' ? 'directory' : 'package', name: model.name };
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
  /** For each text of those that are computed at once, besides the weights and what LoRA trains. */
  each: number;
  atOnce: number;
  setting: string;
  /** Processes between which the weights are split. */
  split: number;
  /** Of a number of the saved model. */
  saved: number;
}

/** As in PyTorch's names, and as in those of GGUF. */
const LAYER = /\.(?:layers|layer|h|blocks|blk)\.(\d+)\./;

function shapeOf(tensors: readonly Tensor[]): Shape {
  const inLayers = tensors.filter(({ name, shape }) => LAYER.test(`.${name}`) && shape.length > 1);
  const [vocabulary = 0, width = 0] =
    tensors.find(
      ({ name, shape }) =>
        /(embed_tokens|embed_in|wte|word_embeddings|tok_embeddings|token_embd)/.test(name) && shape.length === 2,
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

function ofMntp(config: NonNullable<Recipe['mntp']>, shape: Shape, { ranks }: Known): Work {
  const { schedule, batch_size, max_tokens, mask_share, parallel, lora } = config;
  const perRank = Math.ceil(batch_size / ranks);
  const isKept = parallel?.activation_checkpointing !== true;
  return {
    stage: 'mntp',
    rank: lora.rank,
    tokens: schedule.steps * batch_size * max_tokens,
    length: max_tokens,
    passes: isKept ? 2 : 3,
    // Logits of masked tokens in bfloat16, in float32, and their gradient.
    each: max_tokens * (keptPerToken(shape, isKept) + mask_share * shape.vocabulary * 10),
    atOnce: Math.min(config.micro_batch ?? perRank, perRank),
    setting: 'mntp.micro_batch',
    split: parallel?.weights === 'sharded' ? ranks : 1,
    saved: bytesOf(config.saved_model),
  };
}

function ofContrastive(config: NonNullable<Recipe['contrastive']>, shape: Shape, { ranks, counted }: Known): Work {
  const { schedule, batch_size, micro_batch, max_tokens, gradient_cache, parallel, lora } = config;
  const isKept = parallel?.activation_checkpointing !== true;
  const perRank = Math.ceil((2 * batch_size) / ranks);
  const isCached = gradient_cache !== false && micro_batch < 2 * batch_size;
  const long = config.long_fraction ?? 0;
  const length = long * max_tokens + (1 - long) * lengthOfCaption(max_tokens, counted);
  return {
    stage: 'contrastive',
    rank: lora.rank,
    tokens: schedule.steps * 2 * batch_size * length,
    length,
    passes: 2 + Number(isCached) + Number(!isKept),
    each: max_tokens * keptPerToken(shape, isKept),
    atOnce: gradient_cache === false ? perRank : Math.min(micro_batch, perRank),
    setting: 'contrastive.micro_batch',
    split: parallel?.weights === 'sharded' ? ranks : 1,
    saved: bytesOf(config.saved_model),
  };
}

function ofEmbedding(config: NonNullable<Recipe['embed_captions']>, shape: Shape, { counted }: Known): Work {
  const length = lengthOfCaption(config.max_tokens, counted);
  return {
    stage: 'embed_captions',
    rank: 0,
    tokens: counted === undefined ? TOKENS_EMBEDDED : length * textsToEmbed(config, counted),
    length,
    passes: 1,
    each: (KEPT * shape.flows) / shape.layers,
    atOnce: config.batch_tokens,
    setting: 'embed_captions.batch_tokens',
    split: 1,
    saved: 0,
  };
}

function needsOf(shape: Shape, work: Work): LanguageNeeds {
  const { stage, rank, tokens, each, atOnce, saved } = work;
  const trained = rank * shape.flows;
  const gpuBytes = Math.max(2 * shape.parameters + TRAINED * trained + each * atOnce, saved * shape.parameters);
  const flop = flopOf(shape, work);
  return {
    stage,
    parameters: shape.parameters,
    trained,
    gpu_bytes: gpuBytes,
    host_bytes: 2 * shape.parameters,
    class_bytes: JOB_CLASSES[jobClassOf(stage)].memory_mib * 2 ** 20,
    tokens,
    flop,
    gpus: GPUS.map((row) => ({ gpu: row.gpu, fits: gpuBytes <= row.bytes, hours: flop / GPU_RATES[row.gpu] / 3600 })),
  };
}

/** A multiplication and an addition per number of a matrix, and the two products of attention over the whole text. */
function flopOf({ matrices, layers, width }: Shape, { passes, tokens, length }: Work): number {
  return passes * tokens * (2 * matrices + 4 * layers * width * length);
}

function toForm(shape: Shape, work: Work, { ranks, counted }: Known): Form {
  const { rank, each, atOnce, setting, split, saved, stage } = work;
  const trained = rank * shape.flows;
  // Of weights that are split two layers are whole at a time.
  const gathered = split > 1 ? (2 * 2 * shape.matrices) / shape.layers : 0;
  const weights = (2 * shape.parameters + TRAINED * trained) / split + gathered;
  // The whole model as it is written: on the first GPU, or in memory where no GPU holds all of it.
  const written = saved * shape.parameters;
  return {
    fixed: weights,
    each,
    ...(split > 1 ? {} : { least: written }),
    atOnce,
    setting,
    host: 2 * shape.parameters * Math.min(ranks, GPUS_OF_A_MACHINE) + (split > 1 ? written : 0),
    // The folder itself, what is written, and three checkpoints of what trains.
    disk: (2 + saved) * shape.parameters + 3 * TRAINED * trained,
    flop: flopOf(shape, work),
    unknown: counted === undefined ? (UNKNOWN[stage] ?? []) : [],
  };
}

/** Tokens of a mean caption, once captions are counted; at most what is read of one. */
function lengthOfCaption(most: number, counted: Counted | undefined): number {
  const characters = counted?.characters ?? 0;
  return characters === 0 ? most : Math.min(most, characters / CHARACTERS_PER_TOKEN);
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
