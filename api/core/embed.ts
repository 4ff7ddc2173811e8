// From items to embeddings in the same order: what every request for embeddings comes down to.
import type { Truncate, TruncationReceipt, Usage } from '../../contracts/src/api/embed.ts';
import type { StopSignal } from '../text/engine.ts';
import { CoreError } from './errors.ts';
import {
  type Item,
  ofImage,
  type Place,
  type PlacedItem,
  placeItems,
  type ReadImage,
  type ReadText,
  readItem,
} from './items.ts';
import { chooseDimensions, chooseModel, type Model, type Tier } from './model.ts';
import { cutUnit, DEFAULT_QUANTISATION, isUnit, type Quantisation } from './vectors/vectors.ts';

export interface Space {
  id: string;
  embedDim: number;
}
/** Unit vectors of full length in the order of the files; an error in the place of a file that is at fault. */
export type ImageEncoder = (files: Uint8Array[], space: Space) => Promise<(Float32Array | CoreError)[]>;

/** Runs the student's work on that many tokens, or refuses it as `overloaded`. `signal` aborts when the client has gone. */
export type Admit = <T>(tokens: number, work: (signal?: StopSignal) => Promise<T>) => Promise<T>;

export interface Engines {
  images: ImageEncoder;
  admit: Admit;
}

export interface Embedded {
  modality: 'text' | 'image';
  /** At unit length. */
  embedding: Float32Array;
  /** How much of a text was read. */
  truncation?: TruncationReceipt;
}

export interface EmbedOptions {
  tier: Tier;
  dimensions: number;
  truncate: Truncate;
}

export interface EmbedInput {
  model?: string | undefined;
  input: Item[];
  dimensions?: number | undefined;
  truncate?: Truncate | undefined;
  /** What the request calls its items; absent: `input`. */
  field?: string;
}
export interface EmbedOutput {
  model: string;
  space_id: string;
  dimensions: number;
  /** How this space is written in whole numbers. */
  quantisation: Quantisation;
  embedded: Embedded[];
  usage: Usage;
}

export async function embed(model: Model, engines: Engines, asked: EmbedInput): Promise<EmbedOutput> {
  const { id, tier } = chooseModel(model, asked.model);
  const dimensions = chooseDimensions(model, asked.dimensions);
  const options = { tier, dimensions, truncate: asked.truncate ?? 'end' };
  const { embedded, usage } = await embedItems(
    { model, engines },
    placeItems(asked.input, asked.field ?? 'input'),
    options,
  );
  const { space_id } = model.manifest;
  return { model: id, space_id, dimensions, quantisation: DEFAULT_QUANTISATION, embedded, usage };
}

type Read = { place: Place } & (ReadText | ReadImage);

export async function embedItems(
  { model, engines }: { model: Model; engines: Engines },
  items: PlacedItem[],
  { tier, dimensions, truncate }: EmbedOptions,
): Promise<{ embedded: Embedded[]; usage: Usage }> {
  const reader = { tokenizer: await model.tokenizer(), manifest: model.manifest, tier, truncate };
  const read = items.map((item): Read => ({ place: item.place, ...readItem(item, reader) }));
  const texts = read.filter((item) => item.modality === 'text');
  const images = read.filter((item) => item.modality === 'image');

  // Images first: an image encoder that is down should not have cost the computation of the texts.
  const vectors = new Map<Read, Float32Array | undefined>([
    ...(await encodeImages(model, engines.images, images)),
    ...(await encodeTexts({ model, tier }, engines.admit, texts)),
  ]);
  const embedded = read.map((item): Embedded => {
    const embedding = finish(vectors.get(item), dimensions, item.place);
    const { modality } = item;
    return modality === 'image' ? { modality, embedding } : { modality, embedding, truncation: item.truncation };
  });
  const tokens = texts.reduce((sum, { truncation }) => sum + truncation.tokens_seen, 0);
  return { embedded, usage: { prompt_tokens: tokens, images: images.length, total_tokens: tokens } };
}

async function encodeImages<T extends ReadImage & { place: Place }>(
  { manifest }: Model,
  encode: ImageEncoder,
  images: T[],
): Promise<[T, Float32Array | undefined][]> {
  if (images.length === 0) return [];
  const space = { id: manifest.space_id, embedDim: manifest.embed_dim };
  const files = images.map(({ file }) => file);
  const results = await encode(files, space);
  return images.map((image, index) => {
    const result = results[index];
    if (result instanceof CoreError) throw ofImage(result, image.place);
    return [image, result];
  });
}

async function encodeTexts<T extends { ids: ReadText['ids'] }>(
  { model, tier }: { model: Model; tier: Tier },
  admit: Admit,
  texts: T[],
): Promise<[T, Float32Array | undefined][]> {
  if (texts.length === 0) return [];
  const inputs = texts.map(({ ids }) => ids);
  const tokens = inputs.reduce((sum, ids) => sum + ids.length, 0);
  const vectors =
    tier === 'static'
      ? await (await model.static())(inputs)
      : await admit(tokens, async (signal) => (await model.student())(inputs, signal));
  return texts.map((text, index) => [text, vectors[index]]);
}

/** Both encoders give unit vectors, so only a shorter one needs its length again. What is not finite never leaves. */
function finish(vector: Float32Array | undefined, dimensions: number, { item }: Place): Float32Array {
  const embedding = vector && cutUnit(vector, dimensions);
  if (embedding && isUnit(embedding)) return embedding;
  throw new CoreError('non_finite_embedding', `The model's output for item ${item} is not a finite unit vector.`, {
    item,
  });
}
