// Closed forms of the stages with an image tower: clip, embed_images, inherit. From the recipe and what is counted. Pure.

import { LARGE_SET } from '../../../../contracts/src/data/shards.ts';
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import {
  CHECKPOINTS,
  type Facts,
  FLOAT16,
  type Form,
  inBlocks,
  NO_BATCH,
  type NoForm,
  PROCESS,
  SAVED,
  TRAINED,
  WEIGHT,
} from './form.ts';
import { CORE } from './rates.ts';
import { blocksOf, featuresOf, flopOf, KEPT, keptOf, numbersFrom, readBy, towerOf } from './tower-shapes.ts';

/** Train pictures that `inherit` looks at, and texts of a set that a checkpoint's own text encoder reads (towers/image/inherited.py). */
const MEASURED_IMAGES = 4000;
const MOST_TEXTS = 300_000;
/** Of the classifier that an image tower brings, a prompt of each in every step: those of ImageNet. */
const CLASSES = 1000;
/** Processes of a rank that decode (tasks/clip_data/build.py). */
const WORKERS = 12;

/** Both towers learn from pairs, of stored activations or of pictures that are decoded in every step. */
export function ofClip(recipe: Recipe, clip: NonNullable<Recipe['clip']>, facts: Facts): Form | NoForm {
  const backbone = recipe.embed_images?.backbone ?? recipe.inherit?.backbone;
  const tower = towerOf(backbone?.name ?? '');
  if (backbone === undefined || tower === undefined) return notMeasured(backbone?.name);
  const first = recipe.embed_images?.first_trainable_block ?? blocksOf(tower);
  const isHeadAlone = recipe.embed_images?.first_trainable_block === null;
  const passage = { size: backbone.size, first, dropped: clip.patch_dropout ?? 0 };
  const { activation_checkpointing = false, weights = 'replicated' } = clip.parallel ?? {};
  const parameters = numbersFrom(tower, 0);
  const text = textTower(clip, facts);
  const perRank = Math.ceil(clip.batch_size / facts.ranks);
  const trained = isHeadAlone ? 0 : numbersFrom(tower, first);
  const split = weights === 'sharded' ? facts.ranks : 1;
  // Of sharded weights two blocks are whole at a time: one computes while the next one arrives.
  const gathered = split > 1 ? (2 * WEIGHT * parameters) / blocksOf(tower) : 0;
  const passes = 3 + Number(clip.micro_batch !== undefined) + Number(activation_checkpointing);
  // The running mean of the tower that teaches the regulariser: its weights once more, and a forward pass of what trains.
  const isTaught = clip.regulariser_ema !== undefined && clip.regulariser_weight > 0;
  const teacher = isTaught ? WEIGHT * parameters : 0;
  const whole = flopOf(tower, { ...passage, first: 0 });
  const image = isHeadAlone ? 0 : flopOf(tower, passage);
  const pictures = clip.schedule.steps * clip.batch_size;
  const prompts = clip.rows_weight + clip.softmax_weight > 0 ? CLASSES : 0;
  const inMemory = (parts: number): number => memoryOf({ parameters, trained, text: text.trained, parts }, facts);
  const isStreamed = keepsPictures(recipe.embed_images, facts) === 'streamed';
  // Of streamed pictures nothing is stored: a copy of the tower that never trains is asked in every step.
  const frozen = isStreamed ? FLOAT16 * parameters : 0;
  const below = asksWhole(clip) ? whole : whole - image;
  const asked = isStreamed ? below : 0;
  return {
    fixed:
      WEIGHT * (parameters - trained) +
      ((WEIGHT + TRAINED) * trained) / split +
      gathered +
      teacher +
      frozen +
      text.fixed,
    each: (isHeadAlone ? 0 : keptOf(tower, { ...passage, isComputedAgain: activation_checkpointing })) + text.each,
    atOnce: Math.min(clip.micro_batch ?? perRank, perRank),
    setting: 'clip.micro_batch',
    disk: CHECKPOINTS * (trained + text.trained),
    // Features of captions are mapped, not held.
    host: inMemory(split),
    inMemory: (limit) =>
      split === 1 && facts.ranks > 1 && inMemory(facts.ranks) <= limit
        ? 'clip.parallel.weights "sharded" would fit'
        : undefined,
    flop:
      pictures * (passes * (image + text.flop) + Number(isTaught) * image + asked) +
      passes * clip.schedule.steps * prompts * text.flop,
    ...(isStreamed
      ? { reading: { seconds: pictures / CORE.crops, cores: WORKERS * facts.ranks, isMeanwhile: true } }
      : {}),
    unknown: text.unknown,
  };
}

/** Whether a step runs all of the frozen tower, because a term asks for its features, or what lies below what trains alone. */
function asksWhole(clip: NonNullable<Recipe['clip']>): boolean {
  const mixes = clip.rows_mixin > 0 && clip.rows_weight + clip.hypernyms_weight > 0;
  const regularises = clip.regulariser_weight > 0 && clip.regulariser_ema === undefined;
  const classifies = clip.softmax_weight + (clip.hypernyms_softmax_weight ?? 0) > 0;
  return mixes || regularises || classifies;
}

/** Weights in the memory of a machine that trains `clip`. */
interface WeightsInMemory {
  /** Numbers of the image tower, those of them that train, and those of the text tower. */
  parameters: number;
  trained: number;
  text: number;
  /** Ranks between which what trains of the image tower is split. */
  parts: number;
}

/**
 * Of the machine: on each rank the weights as they are read, or the copy that a checkpoint is written from; where they are split,
 * on the first one also the whole tower that is written in the end.
 */
function memoryOf({ parameters, trained, text, parts }: WeightsInMemory, { onMachine }: Facts): number {
  const whole = parts > 1 ? WEIGHT * parameters : 0;
  return onMachine * (PROCESS + Math.max(WEIGHT * parameters, SAVED * (trained / parts + text))) + whole;
}

/** Of a large set nothing is stored of every image: they are streamed. */
function keepsPictures(config: Recipe['embed_images'], { counted }: Facts): 'cached' | 'streamed' {
  return config?.images ?? (counted !== undefined && counted.images > LARGE_SET ? 'streamed' : 'cached');
}

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
    const matrices = inBlocks(scratch);
    const trained = matrices + (vocabulary_size + context_length) * width;
    const each = KEPT.plain * context_length * layers * width;
    const flop = 2 * context_length * matrices + 4 * layers * width * context_length ** 2;
    return { trained, fixed: (WEIGHT + TRAINED) * trained, each, flop, unknown: [] };
  }
  if (facts.features === undefined) return { trained: 0, fixed: 0, each: 0, flop: 0, unknown: [ADAPTER_UNKNOWN] };
  const trained = numbersOf({ ...adapter, embed_dim }, facts.features);
  const each = keptOfAdapter(adapter, facts.features);
  return { trained, fixed: (WEIGHT + TRAINED) * trained, each, flop: 2 * trained, unknown: [] };
}

/** Every view of every picture through the whole frozen tower; one process decodes, and the GPU waits for it. */
export function ofImages(config: NonNullable<Recipe['embed_images']>, facts: Facts): Form | NoForm {
  const { backbone, first_trainable_block, crops } = config;
  const { counted, data } = facts;
  const tower = towerOf(backbone.name);
  if (tower === undefined) return notMeasured(backbone.name);
  const stored = first_trainable_block === null ? 0 : readBy(tower, backbone.size, first_trainable_block);
  const weights = WEIGHT * numbersFrom(tower, 0);
  const isStreamed = keepsPictures(config, facts) === 'streamed';
  const each = isStreamed ? 0 : crops + 1;
  const views = counted === undefined ? undefined : counted.images * each + counted.devImages;
  const ofView = 2 * (counted?.images ?? 0) * (stored + featuresOf(tower)) * FLOAT16;
  const pictures = data?.all ?? 0;
  return {
    ...NO_BATCH,
    fixed: weights,
    setting: 'embed_images.backbone',
    // The pictures; every view, and once more while the parts are put together.
    ...(views === undefined ? {} : { disk: pictures + each * ofView }),
    onDisk: (limit) => {
      const fitting = Math.floor((limit - pictures) / ofView) - 1;
      if (fitting >= 1 && fitting < crops) return `embed_images.crops ${fitting} would fit`;
      return isStreamed || pictures > limit ? undefined : 'embed_images.images "streamed" stores nothing of a picture';
    },
    host: PROCESS + weights,
    flop: (views ?? 0) * flopOf(tower, { size: backbone.size, first: 0 }),
    reading: { seconds: (views ?? 0) / CORE.crops, cores: 1, isMeanwhile: false },
    unknown: views === undefined ? ['disk and hours, before prepare has counted the pictures'] : [],
  };
}

/** Some pictures through the frozen tower, or texts through the checkpoint's own encoder; then the adapter learns. */
export function ofInherit(config: NonNullable<Recipe['inherit']>, facts: Facts): Form | NoForm {
  const { backbone, adapter, embed_dim, target, batch_size, schedule } = config;
  const tower = towerOf(backbone.name);
  if (tower === undefined) return notMeasured(backbone.name);
  const weights = WEIGHT * numbersFrom(tower, 0);
  const { features, counted } = facts;
  const pictures = target === 'clip_text' ? 0 : Math.min(MEASURED_IMAGES, counted?.images ?? MEASURED_IMAGES);
  const trained = features === undefined ? 0 : numbersOf({ ...adapter, embed_dim }, features);
  // Features of every text that it learns from are in memory, twice while sets are put together.
  const texts =
    target === 'clip_text'
      ? Math.min(counted?.captions ?? 0, MOST_TEXTS) + Math.min(counted?.groupCaptions ?? 0, MOST_TEXTS)
      : 0;
  return {
    ...NO_BATCH,
    fixed: weights + (WEIGHT + TRAINED) * trained,
    each: features === undefined ? 0 : keptOfAdapter(adapter, features),
    atOnce: Math.ceil(batch_size / facts.ranks),
    setting: 'inherit.batch_size',
    disk: CHECKPOINTS * trained,
    host: facts.onMachine * (PROCESS + weights + 2 * texts * (features ?? 0) * WEIGHT),
    flop: pictures * flopOf(tower, { size: backbone.size, first: 0 }) + 3 * schedule.steps * batch_size * 2 * trained,
    reading: { seconds: pictures / CORE.crops, cores: 1, isMeanwhile: false },
    unknown: [
      ...(features === undefined ? [ADAPTER_UNKNOWN] : []),
      ...(target === 'clip_text'
        ? ["hours of the checkpoint's own text encoder, which reads each of its texts once"]
        : []),
    ],
  };
}

const ADAPTER_UNKNOWN = 'the adapter, before the width of its features is known';

interface AdapterShape {
  blocks: number;
  expansion: number;
}

function numbersOf({ blocks, expansion, embed_dim }: AdapterShape & { embed_dim: number }, width: number): number {
  return 2 * blocks * expansion * width ** 2 + width * embed_dim;
}

/** Input, normalised input, hidden state and its activation of a block, in float32: it runs outside autocast. */
function keptOfAdapter({ blocks, expansion }: AdapterShape, width: number): number {
  return blocks * (2 + 2 * expansion) * width * WEIGHT;
}

/** FLOP of a whole tower on one picture; undefined where it was not measured. */
export function flopOfPicture({ name, size }: { name: string; size: number }): number | undefined {
  const tower = towerOf(name);
  return tower === undefined ? undefined : flopOf(tower, { size, first: 0 });
}

function notMeasured(backbone: string | undefined): NoForm {
  return `memory and hours of ${backbone ?? 'this image tower'} are not known: docs/towers.md and forms/tower-shapes.ts have those that were measured`;
}
