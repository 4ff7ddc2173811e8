// From what was read of a request to its vectors: by the cache where there is one, and for the rest by the two encoders.
import type { ImageReceipt, OnError } from '../../../contracts/src/api/embed.ts';
import { CoreError } from '../errors.ts';
import type { Place } from '../items/items.ts';
import { ofImage, type ReadImage, type ReadText } from '../items/read.ts';
import type { Model, Tier } from '../model.ts';
import type { Admit } from '../work.ts';
import { type Computed, imageKey, type Outcome, textKey, type VectorCache } from './cache.ts';

interface EncodedFile extends ImageReceipt {
  vector: Float32Array;
}
interface Encoders {
  images(
    files: Uint8Array[],
    space: { id: string; embedDim: number },
    options: { onError: OnError },
  ): Promise<(EncodedFile | CoreError)[]>;
  admit: Admit;
  cache?: VectorCache | undefined;
}
interface Context {
  model: Model;
  engines: Encoders;
}
/** Outcomes of parts, and those parts that did not have to be computed. */
export interface Encoded<T> {
  vectors: Map<T, Outcome>;
  stored: Set<T>;
}

/** Several times what they take: after that, a request that waits for another's work does the work itself. */
const IMAGE_MS = 500;
const TOKEN_MS = 4;
const LEAST_MS = 500;

export async function encodeImages<T extends ReadImage & { place: Place }>(
  { model: { manifest }, engines }: Context,
  { images, onError }: { images: T[]; onError: OnError },
): Promise<Encoded<T>> {
  const space = { id: manifest.space_id, embedDim: manifest.embed_dim };
  const { vectors, stored } = await encodeOnce(images, {
    cache: engines.cache,
    keyOf: ({ file }) => imageKey(manifest, file),
    async encode(some) {
      const files = some.map(({ file }) => file);
      const results = await engines.images(files, space, { onError });
      return files.map((_, index) => computedOf(results[index]));
    },
    forMs: (some) => IMAGE_MS * some.length + LEAST_MS,
  });
  for (const [image, outcome] of vectors) {
    if (!(outcome instanceof CoreError)) continue;
    const error = ofImage(outcome, image.place);
    if (onError === 'fail') throw error;
    vectors.set(image, error);
  }
  return { vectors, stored };
}

function computedOf(file: EncodedFile | CoreError | undefined): Outcome {
  if (!file || file instanceof CoreError) return file;
  const { vector, ...picture } = file;
  return { vector, picture };
}

export function encodeTexts<T extends { ids: ReadText['ids'] }>(
  { model, engines }: Context,
  { texts, tier }: { texts: T[]; tier: Tier },
): Promise<Encoded<T>> {
  const sizeOf = (some: T[]) => some.reduce((sum, { ids }) => sum + ids.length, 0);
  return encodeOnce(texts, {
    cache: engines.cache,
    keyOf: ({ ids }) => textKey(model.manifest, tier, ids),
    async encode(some) {
      const inputs = some.map(({ ids }) => ids);
      const vectors = await engines.admit({ kind: tier, size: sizeOf(some) }, async (turn) => {
        const encode = await model.encoder(tier);
        return encode(inputs, turn);
      });
      return inputs.map((_, index): Computed => ({ vector: vectors[index] }));
    },
    forMs: (some) => TOKEN_MS * sizeOf(some) + LEAST_MS,
  });
}

interface EncodeOnce<T> {
  cache: VectorCache | undefined;
  keyOf(part: T): Promise<string>;
  encode(parts: T[]): Promise<Outcome[]>;
  /** The longest that encoding them may take, in ms. */
  forMs(parts: T[]): number;
}

/** With a cache, only what it does not know, and equal parts once. */
async function encodeOnce<T>(parts: T[], { cache, keyOf, encode, forMs }: EncodeOnce<T>): Promise<Encoded<T>> {
  if (parts.length === 0) return { vectors: new Map(), stored: new Set() };
  if (!cache) {
    const vectors = await encode(parts);
    return { vectors: new Map(parts.map((part, index) => [part, vectors[index]])), stored: new Set() };
  }
  const keys = await Promise.all(parts.map(keyOf));
  const partOf = new Map(parts.map((part, index) => [keys[index] ?? '', part]));
  const computeMissing = (missing: string[]) => encode(missing.flatMap((key) => partOf.get(key) ?? []));
  const { outcomes, stored } = await cache.through(keys, computeMissing, { forMs: forMs(parts) });
  const keyed = parts.map((part, index) => ({ part, key: keys[index] ?? '' }));
  return {
    vectors: new Map(keyed.map(({ part, key }) => [part, outcomes.get(key)])),
    stored: new Set(keyed.filter(({ key }) => stored.has(key)).map(({ part }) => part)),
  };
}
