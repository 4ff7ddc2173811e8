// Closed forms of what a stage takes: memory of a GPU and of a machine, disk, computation. From the recipe alone. Pure.

import { LARGE_SET } from '../../../contracts/src/data/shards.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import { KEPT, type TowerShape, tokensOf, towerShape } from './tower-shapes.ts';

/** What is known besides the recipe. */
export interface Facts {
  /** Processes that share a batch. */
  ranks: number;
  /** Pictures to train on, once `prepare` has counted them. */
  images?: number | undefined;
  /** Numbers of a text's features, where the shapes of the language model's tensors say so. */
  features?: number | undefined;
  /** Of the user's files; `prepare` stores pictures in about as many. */
  data?: DataBytes | undefined;
}

/** Bytes of the user's files, those of tars among them, and how many containers share `prepare`. */
export interface DataBytes {
  all: number;
  tars: number;
  children: number;
}

export interface Form {
  /** On each GPU whatever the batch: weights, gradients, AdamW's averages, the averaged weights. */
  fixed: number;
  /** For each item of those that are embedded at once, and how many those are. */
  each: number;
  atOnce: number;
  /** At some time of the stage on the first GPU, whatever the batch. */
  least?: number;
  /** The setting that bounds them. */
  setting: string;
  /** Files that the stage writes and keeps until it ends, in bytes; of its machine's memory. */
  disk?: number;
  host?: number;
  /** What of the recipe or the data would make it fit into so many bytes of disk, where something would. */
  onDisk?(limit: number): string | undefined;
  /** Multiplications and additions of the whole stage, over all ranks. */
  flop: number;
  /** What is not known, as sentences. */
  unknown: string[];
}

const WEIGHT = 4;
/** Of a trained number, besides itself: gradient, AdamW's two averages and the averaged weights, all float32. */
const TRAINED = 16;
/** Two generations of a checkpoint and the one that is being written: weights, two averages, averaged weights. */
const CHECKPOINTS = 3 * 16;
const FLOAT16 = 2;

/** The form of a stage, or why there is none; undefined for stages that take little. */
export function formOf(recipe: Recipe, stage: StageName, facts: Facts): Form | string | undefined {
  const { clip, distill, embed_images, vocabulary } = recipe;
  if (stage === 'prepare' && facts.data !== undefined) return ofPrepare(facts.data);
  if (stage === 'clip' && clip !== undefined) return ofClip(recipe, clip, facts);
  if (stage === 'embed_images' && embed_images !== undefined) return ofImages(embed_images, facts);
  if (stage === 'distill' && distill !== undefined && vocabulary !== undefined)
    return ofDistillation(distill, vocabulary, facts);
  return undefined;
}

/** How one picture goes through the blocks that train. */
interface Passage {
  tokens: number;
  /** Fraction of the blocks that train. */
  share: number;
  tower: TowerShape;
}

function ofClip(recipe: Recipe, clip: NonNullable<Recipe['clip']>, facts: Facts): Form | string {
  const backbone = recipe.embed_images?.backbone ?? recipe.inherit?.backbone;
  const tower = towerShape(backbone?.name ?? '');
  if (backbone === undefined || tower === undefined) return notMeasured(backbone?.name);
  const first = recipe.embed_images?.first_trainable_block ?? tower.blocks;
  const share = Math.max(0, 1 - first / tower.blocks);
  const tokens = tokensOf(tower, backbone.size) * (1 - (clip.patch_dropout ?? 0));
  const { activation_checkpointing = false, weights = 'replicated' } = clip.parallel ?? {};
  const parameters = tower.parameters * 1e6;
  const text = textTower(clip, facts);
  const perRank = Math.ceil(clip.batch_size / facts.ranks);
  const trained = share * parameters;
  const split = weights === 'sharded' ? facts.ranks : 1;
  // Of sharded weights two blocks are whole at a time: one computes while the next one arrives.
  const gathered = split > 1 ? (2 * WEIGHT * parameters) / tower.blocks : 0;
  const passes = 3 + Number(clip.micro_batch !== undefined) + Number(activation_checkpointing);
  // The running mean of the tower that teaches the regulariser: its weights once more, and a forward pass of what trains.
  const isTaught = clip.regulariser_ema !== undefined && clip.regulariser_weight > 0;
  const teacher = isTaught ? WEIGHT * parameters : 0;
  const image = forward({ tokens, share, tower });
  return {
    fixed: WEIGHT * (1 - share) * parameters + ((WEIGHT + TRAINED) * trained) / split + gathered + teacher + text.fixed,
    each: keptOf({ tokens, share, tower }, activation_checkpointing) + text.each,
    atOnce: Math.min(clip.micro_batch ?? perRank, perRank),
    setting: 'clip.micro_batch',
    disk: CHECKPOINTS * (trained + text.trained),
    // Features of captions are mapped, not held.
    flop: clip.schedule.steps * clip.batch_size * (passes * (image + text.flop) + Number(isTaught) * image),
    unknown: text.unknown,
  };
}

/** Of a large set nothing is stored of every image: they are streamed. */
const isLarge = (images: number | undefined): boolean => images !== undefined && images > LARGE_SET;

interface TextTower {
  trained: number;
  fixed: number;
  /** For each caption. */
  each: number;
  flop: number;
  unknown: string[];
}

/** The adapter over stored features, or the transformer of the comparison. */
function textTower({ text_tower, scratch, adapter, embed_dim }: NonNullable<Recipe['clip']>, facts: Facts): TextTower {
  if (text_tower === 'scratch') {
    const { layers, width, context_length, vocabulary_size } = scratch;
    const inBlocks = 12 * layers * width ** 2;
    const trained = inBlocks + (vocabulary_size + context_length) * width;
    const each = KEPT.plain * context_length * layers * width;
    const flop = 2 * context_length * inBlocks + 4 * layers * width * context_length ** 2;
    return { trained, fixed: (WEIGHT + TRAINED) * trained, each, flop, unknown: [] };
  }
  if (facts.features === undefined)
    return {
      trained: 0,
      fixed: 0,
      each: 0,
      flop: 0,
      unknown: ['the adapter, before the width of its features is known'],
    };
  const trained = 2 * adapter.blocks * adapter.expansion * facts.features ** 2 + facts.features * embed_dim;
  // Input, normalised input, hidden state and its activation of a block, in float32: it runs outside autocast.
  const each = adapter.blocks * (2 + 2 * adapter.expansion) * facts.features * WEIGHT;
  return { trained, fixed: (WEIGHT + TRAINED) * trained, each, flop: 2 * trained, unknown: [] };
}

/** Loose pictures are read by every container, tars by the one whose they are; what is written is as large. */
function ofPrepare({ all, tars, children }: DataBytes): Form {
  const read = children > 1 ? all - tars : all;
  return {
    fixed: 0,
    each: 0,
    atOnce: 0,
    setting: 'prepare.pairs',
    disk: read + all / children,
    flop: 0,
    unknown: [],
    onDisk: (limit) => {
      if (tars < all / 2) return 'packed into tars, pictures are shared between containers';
      const enough = Math.ceil(all / (limit - (all - tars)));
      return enough > children ? `job_arrays.prepare ${Math.max(2, enough)} would fit` : undefined;
    },
  };
}

function ofImages(
  { backbone, first_trainable_block, crops, images: kept }: NonNullable<Recipe['embed_images']>,
  { images, data }: Facts,
): Form | string {
  const tower = towerShape(backbone.name);
  if (tower === undefined) return notMeasured(backbone.name);
  const tokens = tokensOf(tower, backbone.size);
  // What the first trained block reads: pixels, or the states before it; nothing where none is trained.
  const read = first_trainable_block === 0 ? 3 * backbone.size ** 2 : tokens * tower.width;
  const stored = first_trainable_block === null ? 0 : read;
  const isStreamed = (kept ?? (isLarge(images) ? 'streamed' : 'cached')) === 'streamed';
  const each = isStreamed ? 0 : crops + 1;
  const views = images === undefined ? undefined : images * each;
  const ofView = 2 * (images ?? 0) * (stored + tower.width) * FLOAT16;
  const pictures = data?.all ?? 0;
  return {
    fixed: WEIGHT * tower.parameters * 1e6,
    each: 0,
    atOnce: 0,
    setting: 'embed_images.backbone',
    // The pictures; every view, and once more while the parts are put together.
    ...(views === undefined ? {} : { disk: pictures + each * ofView }),
    onDisk: (limit) => {
      const fitting = Math.floor((limit - pictures) / ofView) - 1;
      if (fitting >= 1 && fitting < crops) return `embed_images.crops ${fitting} would fit`;
      return isStreamed || pictures > limit ? undefined : 'embed_images.images "streamed" stores nothing of a picture';
    },
    flop: (views ?? 0) * forward({ tokens, share: 1, tower }),
    unknown: views === undefined ? ['disk and hours, before prepare has counted the pictures'] : [],
  };
}

function ofDistillation(
  { tiers, batch_tokens }: NonNullable<Recipe['distill']>,
  { vocabulary_size }: NonNullable<Recipe['vocabulary']>,
  { ranks }: Facts,
): Form {
  const forms = tiers.map(({ layers, width, table_width, schedule }) => {
    const inBlocks = 12 * layers * width ** 2;
    return {
      fixed: (WEIGHT + TRAINED) * (inBlocks + vocabulary_size * table_width),
      each: KEPT.plain * layers * width,
      flop: 3 * schedule.steps * batch_tokens * 2 * inBlocks,
    };
  });
  const atOnce = Math.ceil(batch_tokens / ranks);
  const [largest = { fixed: 0, each: 0 }] = forms.toSorted((a, b) => total(b, atOnce) - total(a, atOnce));
  return {
    fixed: largest.fixed,
    each: largest.each,
    atOnce,
    setting: 'distill.batch_tokens',
    flop: forms.reduce((sum, { flop }) => sum + flop, 0),
    unknown: [],
  };
}

/** Bytes of a GPU with so many items at once. */
export function total({ fixed, each, least = 0 }: Pick<Form, 'fixed' | 'each' | 'least'>, atOnce: number): number {
  return Math.max(fixed + each * atOnce, least);
}

/** Of one picture: everything that the trained blocks compute, or the states between them and the insides of one. */
function keptOf({ tokens, share, tower: { kept, blocks, width } }: Passage, isComputedAgain: boolean): number {
  const ofBlock = kept * tokens * width;
  const trained = share * blocks;
  return isComputedAgain && trained > 1 ? WEIGHT * tokens * width * trained + ofBlock : ofBlock * trained;
}

/** Two per number of the blocks and token, and the two products of attention. */
function forward({ tokens, share, tower: { parameters, blocks, width } }: Passage): number {
  return share * tokens * (2 * parameters * 1e6 + 4 * blocks * width * tokens);
}

function notMeasured(backbone: string | undefined): string {
  return `memory and hours of ${backbone ?? 'this image tower'} are not known: docs/towers.md and tower-shapes.ts have those that were measured`;
}
