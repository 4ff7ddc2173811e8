// From items to embeddings in the same order: what every request for embeddings comes down to.
import type { Modality, Truncate, TruncationReceipt, Usage } from '../../contracts/src/api/embed.ts';
import type { Turn } from '../text/engine.ts';
import { CoreError } from './errors.ts';
import { type Item, nameOf, type Place, type PlacedItem, placeItems, placeParts } from './items/items.ts';
import { ofImage, type ReadImage, type ReadText, readPart } from './items/read.ts';
import { checkSize } from './limits.ts';
import { chooseDimensions, chooseModel, type Model, quantisationOf, type Tier } from './model.ts';
import { cutAndNormalise, cutUnit, isUnit, type Quantisation } from './vectors/vectors.ts';

export interface Space {
  id: string;
  embedDim: number;
}
/** Unit vectors of full length in the order of the files; an error in the place of a file that is at fault. */
export type ImageEncoder = (files: Uint8Array[], space: Space) => Promise<(Float32Array | CoreError)[]>;

/** What computes, which decides how long a token takes. The tokenizer's work is counted in UTF-16 code units. */
export type WorkKind = Tier | 'tokenizer';
export interface Work {
  kind: WorkKind;
  size: number;
}
/** Runs `work` in turns with other requests, or refuses it as `overloaded` where it would have to wait too long. */
export type Admit = <T>(work: Work, run: (turn?: Turn) => Promise<T>) => Promise<T>;

export interface Engines {
  images: ImageEncoder;
  admit: Admit;
}

export interface EmbeddedPart {
  modality: 'text' | 'image';
  /** How much of a text was read. */
  truncation?: TruncationReceipt;
}
export interface Embedded {
  modality: Modality;
  /** At unit length. */
  embedding: Float32Array;
  /** How much was read of an item that is one text. */
  truncation?: TruncationReceipt;
  /** Of an item that has several. */
  parts?: EmbeddedPart[];
}

export interface EmbedOptions {
  tier: Tier;
  dimensions: number;
  truncate: Truncate;
}

export interface EmbedInput {
  model?: string | undefined;
  input: Item[];
  /** What the request calls its items; absent: `input`. */
  field?: string | undefined;
  dimensions?: number | undefined;
  /** What the request calls `dimensions`. */
  dimensionsField?: string | undefined;
  truncate?: Truncate | undefined;
  /** Tokens of a text that are read at most, special ones not counted; absent: what the model reads. */
  maxTokens?: number | undefined;
}
export interface EmbedOutput {
  model: string;
  space_id: string;
  dimensions: number;
  /** How this space is written in whole numbers. */
  quantisation: Quantisation;
  embedded: Embedded[];
  usage: Usage;
  /** Of all images, as they were sent. */
  pixels: number;
}

export async function embed(model: Model, engines: Engines, asked: EmbedInput): Promise<EmbedOutput> {
  const { id, tier } = chooseModel(model, asked.model);
  const dimensions = chooseDimensions(model, asked.dimensions, asked.dimensionsField);
  const options = { tier, dimensions, truncate: asked.truncate ?? 'end' };
  const { maxTokens } = asked;
  const placed = placeItems(asked.input, asked.field ?? 'input').map((item) => ({ ...item, maxTokens }));
  const { embedded, usage, pixels } = await embedItems({ model, engines }, placed, options);
  const { space_id } = model.manifest;
  return { model: id, space_id, dimensions, quantisation: quantisationOf(model), embedded, usage, pixels };
}

type ReadPart = { place: Place } & (ReadText | ReadImage);
type Vectors = Map<ReadPart, Float32Array | undefined>;

export async function embedItems(
  { model, engines }: { model: Model; engines: Engines },
  items: PlacedItem[],
  { tier, dimensions, truncate }: EmbedOptions,
): Promise<Pick<EmbedOutput, 'embedded' | 'usage' | 'pixels'>> {
  const reader = { tokenizer: await model.tokenizer(), manifest: model.manifest, tier, truncate };
  const read = items.map((item) =>
    placeParts(item).map((placed): ReadPart => ({ place: placed.place, ...readPart(placed, reader) })),
  );
  const parts = read.flat();
  const texts = parts.filter((part) => part.modality === 'text');
  const images = parts.filter((part) => part.modality === 'image');

  const tokens = texts.reduce((sum, { truncation }) => sum + truncation.tokens_seen, 0);
  checkSize({ tier, items: parts.length, tokens }, model.limits);

  // Images first: an image encoder that is down should not have cost the computation of the texts.
  const vectors = new Map<ReadPart, Float32Array | undefined>([
    ...(await encodeImages(model, engines.images, images)),
    ...(await encodeTexts({ model, tier }, engines.admit, texts)),
  ]);
  const embedded = read.map((parts): Embedded => {
    const embedding = finish(parts, { vectors, dimensions });
    const [part] = parts;
    if (part && parts.length === 1) return { ...receipt(part), embedding };
    const modalities = new Set(parts.map(({ modality }) => modality));
    const modality = modalities.size > 1 ? 'mixed' : (part?.modality ?? 'mixed');
    return { modality, embedding, parts: parts.map(receipt) };
  });
  const usage = { prompt_tokens: tokens, images: images.length, total_tokens: tokens };
  return { embedded, usage, pixels: images.reduce((sum, image) => sum + image.pixels, 0) };
}

function receipt(part: ReadPart): EmbeddedPart {
  const { modality } = part;
  return modality === 'image' ? { modality } : { modality, truncation: part.truncation };
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
  const vectors = await admit({ kind: tier, size: tokens }, async (turn) => {
    const encode = await (tier === 'static' ? model.static() : model.student());
    return encode(inputs, turn);
  });
  return texts.map((text, index) => [text, vectors[index]]);
}

/** Both encoders give unit vectors, so only a shorter one needs its length again. What is not finite never leaves. */
function finish(parts: ReadPart[], { vectors, dimensions }: { vectors: Vectors; dimensions: number }): Float32Array {
  const computed = parts.map((part) => checkUnit(vectors.get(part), part.place));
  const [whole] = computed.length === 1 ? computed : [meanOf(computed)];
  return checkUnit(whole && cutUnit(whole, dimensions), parts[0]?.place);
}

/** At unit length, so that the sum will do. Of whole vectors, so that every part counts the same however much is cut. */
function meanOf(vectors: Float32Array[]): Float32Array {
  const length = vectors[0]?.length ?? 0;
  const sum = Float64Array.from({ length }, (_, i) => vectors.reduce((value, vector) => value + (vector[i] ?? 0), 0));
  return cutAndNormalise(sum, length);
}

function checkUnit(vector: Float32Array | undefined, place: Place | undefined): Float32Array {
  if (vector && isUnit(vector)) return vector;
  const message = `The model's output for item ${place ? nameOf(place) : 0} is not a finite unit vector.`;
  throw new CoreError('non_finite_embedding', message, { ...place });
}
