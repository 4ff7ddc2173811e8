// The need of a stage, whatever the machine: a closed form over the recipe, and the seconds and bytes that follow from it. Pure.
import type { TrainingReport } from '../../../../contracts/src/training/job.ts';

/** What is known besides the recipe. */
export interface Facts {
  /** Processes that share a batch, and how many of them are on one machine. */
  ranks: number;
  onMachine: number;
  /** Once `prepare` has counted them. */
  counted?: Counted | undefined;
  /** Numbers of a text's features, where the shapes of the language model's tensors say so. */
  features?: number | undefined;
  /** Of the user's files; `prepare` stores pictures in about as many. */
  data?: DataBytes | undefined;
}

/** Train pictures with their captions, texts to learn from of all kinds, names of classes; and what is measured on. */
export interface Counted {
  images: number;
  captions: number;
  /** Of the mean caption; 0 where there is none. */
  characters: number;
  /** Captions without pictures. */
  groupCaptions: number;
  long: number;
  translations: number;
  concepts: number;
  fragments: number;
  texts: number;
  /** Phrases of places in pictures, of train and dev. */
  regions: number;
  classes: number;
  devImages: number;
  devCaptions: number;
  unseenCaptions: number;
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
  /** What of the recipe or the data would make it fit into so many bytes of disk, or of memory, where something would. */
  onDisk?(limit: number): string | undefined;
  inMemory?(limit: number): string | undefined;
  /** Multiplications and additions of the whole stage, over all ranks. */
  flop: number;
  /** What the machine's processors do besides. */
  reading?: Reading;
  /** Machines that each do so much, side by side; absent: one job does everything. */
  containers?: number;
  /** What is not known, as sentences. */
  unknown: string[];
}

/** Decoding pictures, reading texts: seconds of one core, how many cores share them, and whether a GPU computes meanwhile. */
export interface Reading {
  seconds: number;
  cores: number;
  isMeanwhile: boolean;
}

/** The machines of a job, together. */
export interface Machines {
  /** FLOP per second. */
  rate: number;
  cores: number;
}

/** Bytes of a number in float32 and float16. */
export const WEIGHT = 4;
export const FLOAT16 = 2;
/** Of a trained number, besides itself: gradient, AdamW's two averages and the averaged weights, all float32. */
export const TRAINED = 16;
/** Of a trained number in a checkpoint: itself, the two averages and the averaged weight. */
export const SAVED = 16;
/** Two generations of a checkpoint and the one that is being written. */
export const CHECKPOINTS = 3 * SAVED;
/** Memory of a process with its libraries and a worker that decodes, whatever it trains: docs/results.md, a million pairs. */
export const PROCESS = 0.8e9;

/** A stage that a GPU or a processor computes: nothing that depends on a batch. */
export const NO_BATCH = { fixed: 0, each: 0, atOnce: 0 } as const;

/** Numbers in the matrices of a text transformer's blocks: four of attention, eight of a feed-forward layer four times as wide. */
export function inBlocks({ layers, width }: { layers: number; width: number }): number {
  return 12 * layers * width ** 2;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Bytes of a GPU with so many items at once. */
export function total({ fixed, each, least = 0 }: Pick<Form, 'fixed' | 'each' | 'least'>, atOnce: number): number {
  return Math.max(fixed + each * atOnce, least);
}

/** Seconds of a whole stage, without the start of its machines and what they fetch. */
export function secondsOf({ flop, reading }: Form, { rate, cores }: Machines): number {
  const computing = flop / rate;
  if (reading === undefined) return computing;
  const read = reading.seconds / Math.min(reading.cores, cores);
  return reading.isMeanwhile ? Math.max(computing, read) : computing + read;
}

/** What a finished `prepare` has counted. */
export function countedIn(report: TrainingReport | undefined): Counted | undefined {
  if (report === undefined) return undefined;
  const of = (name: string): number => report.metrics[name] ?? 0;
  const captions = of('captions.train');
  const kinds = {
    long: of('long.train'),
    translations: of('translations.train'),
    concepts: of('concepts.train'),
    fragments: of('fragments.train'),
  };
  return {
    images: of('images.train'),
    captions,
    characters: captions === 0 ? 0 : of('characters.train') / captions,
    ...kinds,
    groupCaptions: of('captions.groups.train'),
    regions: of('regions.train') + of('regions.dev'),
    classes: of('classes'),
    devImages: of('images.dev'),
    devCaptions: of('captions.dev'),
    unseenCaptions: of('captions.unseen'),
    // A group of captions counts as one text.
    texts: captions + of('groups.train') + sum(Object.values(kinds)),
  };
}

/** Why there is no form: what this stage takes is not known. */
export type NoForm = string;
