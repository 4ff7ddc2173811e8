// From items to embeddings in the same order: what every request for embeddings comes down to.
import type {
  ImageReceipt,
  Modality,
  OnError,
  Truncate,
  TruncationReceipt,
  Usage,
} from '../../contracts/src/api/embed.ts';
import type { ImageType } from '../../contracts/src/api/encode.ts';
import type { Outcome, VectorCache } from './encode/cache.ts';
import { encodeImages, encodeTexts } from './encode/encode.ts';
import type { RoutingOptions } from './encode/routing.ts';
import { CoreError } from './errors.ts';
import { type Item, nameOf, type Place, type PlacedItem, placeItems } from './items/items.ts';
import type { TextReader } from './items/read.ts';
import { type ReadOptions, type ReadPart, readItems } from './items/turns.ts';
import { checkSize } from './limits.ts';
import { chooseDimensions, chooseModel, type Model, quantisationOf, type Tier } from './model.ts';
import { cutAndNormalise, cutUnit, isUnit, type Quantisation } from './vectors/vectors.ts';
import type { Admit } from './work.ts';

export interface Space {
  id: string;
  embedDim: number;
}
/** A file that was encoded. */
export interface EncodedFile {
  /** At unit length and of full length. */
  vector: Float32Array;
  /** As people see it, EXIF orientation applied. */
  width: number;
  height: number;
  type: ImageType;
  /** What was wrong with the file, which was read all the same. */
  warnings: string[];
}
export interface ImageOptions {
  onError: OnError;
  /** Names the request to whatever encodes its images, for logs on both sides. */
  trace?: Readonly<Record<string, string>>;
  routing?: RoutingOptions;
}
/**
 * In the order of the files; an error in the place of a file that is at fault. With `partial` a file that could not be
 * encoded for another reason has its error in its place too; with `fail` that is thrown.
 */
export type ImageEncoder = (
  files: Uint8Array[],
  space: Space,
  options?: ImageOptions,
) => Promise<(EncodedFile | CoreError)[]>;

export interface Engines {
  images: ImageEncoder;
  /** Throws where the caller may not have that much embedded, what is stored included. */
  checkQuota?: ((needed: { tokens: number; images: number }) => void) | undefined;
  admit: Admit;
  /** Absent: everything is computed. */
  cache?: VectorCache | undefined;
}

export interface EmbeddedPart {
  modality: 'text' | 'image';
  /** How much of a text was read. */
  truncation?: TruncationReceipt;
  /** What an image file turned out to be. */
  picture?: ImageReceipt;
}
export interface Embedded {
  modality: Modality;
  /** At unit length. */
  embedding: Float32Array;
  /** How much was read of an item that is one text. */
  truncation?: TruncationReceipt;
  /** Of an item that is one image. */
  picture?: ImageReceipt;
  /** Of an item that has several. */
  parts?: EmbeddedPart[];
}

export interface EmbedOptions {
  tier: Tier;
  dimensions: number;
  truncate: Truncate;
  /** What becomes of texts that are not understood; absent: `flag`. */
  unknown?: TextReader['unknown'];
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

/** With an error in the place of every item that has no vector. */
export interface PartialOutput extends Omit<EmbedOutput, 'embedded'> {
  outcomes: (Embedded | CoreError)[];
}

/** Fails with the first item that has no vector. */
export async function embed(model: Model, engines: Engines, asked: EmbedInput): Promise<EmbedOutput> {
  const { outcomes, ...output } = await attempt(model, engines, { ...asked, onError: 'fail' });
  return { ...output, embedded: outcomes.map(orThrow) };
}

/** Fails only where the request as a whole cannot be answered, such as for a model that is not there. */
export function embedPartially(model: Model, engines: Engines, asked: EmbedInput): Promise<PartialOutput> {
  return attempt(model, engines, { ...asked, onError: 'partial' });
}

async function attempt(
  model: Model,
  engines: Engines,
  { onError, ...asked }: EmbedInput & { onError: OnError },
): Promise<PartialOutput> {
  const { id, items, ...chosen } = choose(model, asked);
  const { dimensions } = chosen;
  const options = { ...chosen, onError };
  const { outcomes, usage, pixels } = await attemptItems({ model, engines }, items, options);
  const { space_id } = model.manifest;
  return { model: id, space_id, dimensions, quantisation: quantisationOf(model), outcomes, usage, pixels };
}

/** What a request comes down to with this model. */
export function choose(model: Model, asked: EmbedInput): EmbedOptions & { id: string; items: PlacedItem[] } {
  const { id, tier } = chooseModel(model, asked.model);
  const dimensions = chooseDimensions(model, asked.dimensions, asked.dimensionsField);
  const { maxTokens, truncate = 'end' } = asked;
  const items = placeItems(asked.input, asked.field ?? 'input').map((item) => ({ ...item, maxTokens }));
  return { id, tier, dimensions, truncate, items };
}

export function orThrow<T>(outcome: T | CoreError): T {
  if (outcome instanceof CoreError) throw outcome;
  return outcome;
}

type Vectors = Map<ReadPart, Outcome>;
interface Context {
  model: Model;
  engines: Engines;
}

/** Fails with the first item that has no vector. */
export async function embedItems(
  context: Context,
  items: PlacedItem[],
  options: EmbedOptions,
): Promise<Pick<EmbedOutput, 'embedded' | 'usage' | 'pixels'>> {
  const { outcomes, ...output } = await attemptItems(context, items, { ...options, onError: 'fail' });
  return { ...output, embedded: outcomes.map(orThrow) };
}

/** With an error in the place of every item that has no vector. */
export async function attemptItems(
  { model, engines }: Context,
  items: PlacedItem[],
  { tier, dimensions, truncate, unknown, onError }: EmbedOptions & { onError: OnError },
): Promise<Pick<PartialOutput, 'outcomes' | 'usage' | 'pixels'>> {
  const orError = catcherOf(onError);
  const read = await readChecked({ model, admit: engines.admit, orError }, items, { tier, truncate, unknown });
  const parts = partsIn(read);
  const images = parts.filter((part) => part.modality === 'image');
  engines.checkQuota?.({ tokens: sumUp(parts).usage.prompt_tokens, images: images.length });

  // Texts are computed while images are under way. An image encoder that is known to be down refuses before they begin.
  const [ofImages, ofTexts] = await Promise.all([
    encodeImages({ model, engines }, { images, onError }),
    encodeTexts({ model, engines }, { texts: parts.filter((part) => part.modality === 'text'), tier }),
  ]);
  const vectors: Vectors = new Map<ReadPart, Outcome>([...ofImages.vectors, ...ofTexts.vectors]);
  const answerable = read.map((parts) => (parts instanceof CoreError ? parts : (errorIn(parts, vectors) ?? parts)));
  const outcomes = answerable.map((parts) =>
    parts instanceof CoreError ? parts : orError(() => combine(parts, { vectors, dimensions })),
  );
  const used = partsIn(answerable.filter((_, index) => !(outcomes[index] instanceof CoreError)));
  const { usage, pixels } = sumUp(used);
  const stored = new Set<ReadPart>([...ofImages.stored, ...ofTexts.stored]);
  if (engines.cache) usage.cached = used.filter((part) => stored.has(part)).length;
  return { outcomes, usage, pixels };
}

/** Where errors of items are answers, they are given instead of thrown. */
export function catcherOf(onError: OnError): ReadOptions['orError'] {
  return (work) => {
    try {
      return work();
    } catch (error) {
      if (onError === 'partial' && error instanceof CoreError) return error;
      throw error;
    }
  };
}

interface Reading extends Pick<ReadOptions, 'admit' | 'orError'> {
  model: Model;
}

/** Parts by item, after everything that can be refused without computing a vector. */
export async function readChecked(
  { model, admit, orError }: Reading,
  items: PlacedItem[],
  { tier, truncate, unknown }: Omit<EmbedOptions, 'dimensions'>,
): Promise<(ReadPart[] | CoreError)[]> {
  const reader = { tokenizer: await model.tokenizer(), manifest: model.manifest, tier, truncate, unknown };
  const read = await readItems(items, { reader, admit, orError });
  const parts = partsIn(read);
  checkSize({ tier, items: parts.length, tokens: sumUp(parts).usage.prompt_tokens }, model.limits);
  return read;
}

function errorIn(parts: ReadPart[], vectors: Vectors): CoreError | undefined {
  return parts.map((part) => vectors.get(part)).find((vector) => vector instanceof CoreError);
}

export function partsIn(read: (ReadPart[] | CoreError)[]): ReadPart[] {
  return read.flatMap((parts) => (parts instanceof CoreError ? [] : parts));
}

export function sumUp(parts: ReadPart[]): Pick<EmbedOutput, 'usage' | 'pixels'> {
  let [tokens, images, pixels] = [0, 0, 0];
  for (const part of parts) {
    if (part.modality === 'text') tokens += part.truncation.tokens_seen;
    else {
      images += 1;
      pixels += part.pixels;
    }
  }
  return { usage: { prompt_tokens: tokens, images, total_tokens: tokens }, pixels };
}

function combine(parts: ReadPart[], { vectors, dimensions }: { vectors: Vectors; dimensions: number }): Embedded {
  const computed = parts.map((part) => checkUnit(vectorOf(part, vectors), part.place));
  const [part] = parts;
  const [whole] = computed.length === 1 ? computed : [meanOf(computed)];
  // Both encoders give unit vectors, so only a shorter one needs its length again.
  const cut = whole && cutUnit(whole, dimensions);
  const embedding = cut && cut === computed[0] ? cut : checkUnit(cut, part?.place);
  if (part && parts.length === 1) return { ...receipt(part, vectors), embedding };
  return { modality: modalityOf(parts), embedding, parts: parts.map((part) => receipt(part, vectors)) };
}

export function modalityOf(parts: ReadPart[]): Modality {
  const [first, ...others] = new Set(parts.map(({ modality }) => modality));
  return first === undefined || others.length > 0 ? 'mixed' : first;
}

function vectorOf(part: ReadPart, vectors: Vectors): Float32Array | undefined {
  const computed = vectors.get(part);
  return computed instanceof CoreError ? undefined : computed?.vector;
}

function receipt(part: ReadPart, vectors: Vectors): EmbeddedPart {
  const { modality } = part;
  if (modality === 'text') return { modality, truncation: part.truncation };
  const computed = vectors.get(part);
  return computed && 'picture' in computed ? { modality, picture: computed.picture } : { modality };
}

/** At unit length, so that the sum will do. Of whole vectors, so that every part counts the same however much is cut. */
function meanOf(vectors: Float32Array[]): Float32Array {
  const length = vectors[0]?.length ?? 0;
  const sum = Float64Array.from({ length }, (_, i) => vectors.reduce((value, vector) => value + (vector[i] ?? 0), 0));
  return cutAndNormalise(sum, length);
}

/** What is not finite never leaves. */
function checkUnit(vector: Float32Array | undefined, place: Place | undefined): Float32Array {
  if (vector && isUnit(vector)) return vector;
  const message = `${place ? nameOf(place, 'Item') : 'An item'}: the model's output is not a finite unit vector.`;
  throw new CoreError('non_finite_embedding', message, { ...place });
}
