// Scores two sides against each other: texts, images and ready vectors, as a matrix, as pairs or as the best matches.
import { EmbeddingType, type Modality, type Truncate } from '../../../contracts/src/api/embed.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import type { SimilarityMode, SimilarityResponse, VectorItem, Verdict } from '../../../contracts/src/api/similarity.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { type EmbedOptions, type Engines, embedItems } from '../embed.ts';
import { CoreError } from '../errors.ts';
import { type Item, type PlacedItem, placeItems } from '../items/items.ts';
import { chooseDimensions, chooseModel, type Model } from '../model.ts';
import { type Plan, type Planning, planItems } from '../plan.ts';
import { cutAndNormalise, decodeEmbedding, dot, isBitType, isUnit, type WrittenVector } from '../vectors/vectors.ts';
import { type Candidates, chooseCandidates, judge } from './candidates.ts';
import { logistic } from './logistic.ts';
import { type Found, judgeSearch } from './verdict.ts';

const DEFAULT_TOP_K = 10;

export interface SimilarityInput {
  model?: string | undefined;
  a: (Item | VectorItem)[];
  b: (Item | VectorItem)[];
  mode?: SimilarityMode | undefined;
  top_k?: number | undefined;
  dimensions?: number | undefined;
  truncate?: Truncate | undefined;
  /** How many things were searched: scores then say how probable a match is. */
  candidates?: number | undefined;
  /** What the request calls its sides. */
  fields?: { a: string; b: string };
}

/** Both sides are read and checked before either is computed, and then computed together. */
export async function similarity(model: Model, engines: Engines, asked: SimilarityInput): Promise<SimilarityResponse> {
  const { mode = 'matrix', top_k = DEFAULT_TOP_K } = asked;
  const { id, a, b, items, vectors, candidates, ...options } = prepare(model, asked);
  const { embedded, usage } = await embedItems({ model, engines }, items, options);
  for (const [index, entry] of items.entries()) vectors.set(entry, embedded[index]);

  const side = (entries: Entry[]) => entries.flatMap((entry) => vectors.get(entry) ?? []);
  const { calibration } = model.manifest;
  const scores = scoreSides(side(a), side(b), { mode, topK: top_k, calibration, candidates });
  const { dimensions } = options;
  return { object: 'similarity', model: id, space_id: model.manifest.space_id, dimensions, usage, ...scores };
}

/** What scoring would take: the items that are not ready vectors, which are checked. */
export async function planSimilarity({ model, admit }: Planning, asked: SimilarityInput): Promise<Plan> {
  const { id, items, dimensions, tier, truncate, unknown } = prepare(model, asked);
  const planned = await planItems({ model, admit }, items, { tier, truncate, unknown, onError: 'fail' });
  return { model: id, space_id: model.manifest.space_id, dimensions, ...planned };
}

interface Prepared extends EmbedOptions {
  id: string;
  a: Entry[];
  b: Entry[];
  /** What has to be computed, of both sides. */
  items: PlacedItem[];
  /** Of ready entries. */
  vectors: Map<Entry, Scored | undefined>;
  candidates: Candidates | undefined;
}

/** Both sides, checked as far as that needs no text or image to be read. */
function prepare(model: Model, asked: SimilarityInput): Prepared {
  const { mode = 'matrix', truncate = 'end' } = asked;
  const fields = asked.fields ?? { a: 'a', b: 'b' };
  const [placedA, placedB] = [placeItems(asked.a, fields.a), placeItems(asked.b, fields.b)];
  checkMode(asked, mode);
  const { id, tier } = chooseModel(model, asked.model);
  const a = placedA.map((placed) => readEntry(placed, model));
  const b = placedB.map((placed) => readEntry(placed, model));
  const ready = [...a, ...b].filter((entry) => 'numbers' in entry);
  const items = [...a, ...b].filter((entry) => 'item' in entry);
  // Without `dimensions`, ready vectors decide: the shortest of them is what all can be compared at.
  const shortest = Math.min(...ready.map(({ numbers }) => numbers.length), model.manifest.embed_dim);
  const dimensions = chooseDimensions(model, asked.dimensions ?? shortest);
  const candidates = chooseCandidates(model, { count: asked.candidates, tier, dimensions });
  const vectors = new Map<Entry, Scored | undefined>(ready.map((entry) => [entry, cutReady(entry, dimensions)]));
  return { id, a, b, items, vectors, candidates, tier, dimensions, truncate, unknown: 'refuse' };
}

function checkMode({ a, b, top_k: topK }: SimilarityInput, mode: SimilarityMode): void {
  if (mode === 'pairs' && a.length !== b.length) {
    const message = `pairs needs sides of one length; a has ${a.length}, b has ${b.length}.`;
    throw new CoreError('invalid_request', message, { param: 'b' });
  }
  if (topK !== undefined && (mode !== 'top_k' || topK > LIMITS.top_k)) {
    const message = mode === 'top_k' ? `top_k may be ${LIMITS.top_k}, not ${topK}.` : 'top_k needs "mode": "top_k".';
    throw new CoreError('invalid_request', message, { param: 'top_k' });
  }
}

// ------------------------------------------------------------------ scores

export interface Scored {
  /** At unit length. */
  embedding: Float32Array;
  /** Only the signs of the embedding are known. */
  isBits?: boolean;
  modality?: VectorItem['modality'];
}

interface ScoreOptions {
  mode: SimilarityMode;
  topK: number;
  calibration: ModelManifest['calibration'];
  candidates: Candidates | undefined;
}

function scoreSides(a: Scored[], b: Scored[], { mode, topK, calibration, candidates }: ScoreOptions) {
  const found = a.map((left, i) => {
    const against = mode === 'pairs' ? b.slice(i, i + 1) : b;
    return against.map((right) => ({ score: cosine(left, right), modalities: modalitiesOf(left, right) }));
  });
  const verdicts =
    candidates?.verdicts && mode !== 'pairs' ? found.map((row) => verdictOf(row, candidates)) : undefined;
  const rows = found.map((row) => {
    return row.map(({ score, modalities }, index) => {
      const calibrated = modalities ? probability(score, modalities, calibration) : null;
      return { index, score, calibrated, ...(candidates ? judge(score, modalities, candidates) : {}) };
    });
  });
  if (mode === 'top_k') {
    // Equal scores keep the order of b.
    const results = rows.map((row) => row.sort((x, y) => y.score - x.score || x.index - y.index).slice(0, topK));
    return { mode, results, ...(verdicts ? { verdicts } : {}) };
  }
  const scores = rows.map((row) => row.map(({ score }) => score));
  const calibrated = rows.map((row) => row.map((hit) => hit.calibrated));
  const probabilities = rows.map((row) => row.map((hit) => hit.probability ?? null));
  const percentiles = rows.map((row) => row.map((hit) => hit.percentile ?? null));
  return mode === 'matrix'
    ? {
        mode,
        scores,
        calibrated,
        ...(candidates ? { probabilities, percentiles } : {}),
        ...(verdicts ? { verdicts } : {}),
      }
    : {
        mode,
        scores: scores.flat(),
        calibrated: calibrated.flat(),
        ...(candidates ? { probabilities: probabilities.flat(), percentiles: percentiles.flat() } : {}),
      };
}

function verdictOf(found: Found[], { count, verdicts }: Candidates): Verdict | null {
  return (verdicts && judgeSearch(found, count, verdicts)) ?? null;
}

/** Estimated where only the signs of a vector are known: exact for a vector with itself, rough for others. */
export function cosine(a: Scored, b: Scored): number {
  if (a.isBits && b.isBits) return cosineOfSigns(a.embedding, b.embedding);
  if (a.isBits) return cosineWithSigns(b.embedding, a.embedding);
  if (b.isBits) return cosineWithSigns(a.embedding, b.embedding);
  return Math.max(-1, Math.min(1, dot(a.embedding, b.embedding)));
}

/**
 * The share of the vector's absolute sum that the signs agree with. Large numbers count more, as in a cosine: the first
 * dimensions of a Matryoshka space are many times the last. For normally distributed numbers the estimate is unbiased.
 */
function cosineWithSigns(vector: Float32Array, signs: Float32Array): number {
  let agreeing = 0;
  let all = 0;
  for (const [i, value] of vector.entries()) {
    agreeing += value > 0 === (signs[i] ?? 0) > 0 ? Math.abs(value) : -Math.abs(value);
    all += Math.abs(value);
  }
  return agreeing / all;
}

/** The share of equal signs tells the angle between two vectors; the sine turns it into their cosine (SimHash). */
function cosineOfSigns(a: Float32Array, b: Float32Array): number {
  let agreement = 0;
  for (const [i, value] of a.entries()) agreement += value > 0 === (b[i] ?? 0) > 0 ? 1 : -1;
  return Math.sin((Math.PI / 2) * (agreement / a.length));
}

/** Undefined where the cosine is an estimate and where a modality is not known. */
function modalitiesOf(a: Scored, b: Scored): [Modality, Modality] | undefined {
  return a.modality && b.modality && !a.isBits && !b.isBits ? [a.modality, b.modality] : undefined;
}

/** That both mean the same: fitted on cosines of dev pairs, one map per pair of modalities; null for others. */
export function probability(
  score: number,
  [a, b]: [Modality, Modality],
  { text_text, image_image, text_image }: ModelManifest['calibration'],
): number | null {
  if (a === 'mixed' || b === 'mixed') return null;
  const ofOneKind = a === 'text' ? text_text : image_image;
  return logistic(score, a === b ? ofOneKind : text_image);
}

// ------------------------------------------------------------------ ready vectors

interface ReadyVector {
  param: string;
  /** As sent: not at unit length yet. */
  numbers: ArrayLike<number>;
  isBits: boolean;
  modality: VectorItem['modality'];
}
/** An item of a side: a ready vector, or a text or image to be computed. */
type Entry = ReadyVector | PlacedItem;

function readEntry({ item, place }: PlacedItem<Item | VectorItem>, model: Model): Entry {
  return typeof item !== 'string' && 'embedding' in item ? readVector(item, place.param, model) : { item, place };
}

function readVector(item: VectorItem, param: string, model: Model): ReadyVector {
  const { space_id } = model.manifest;
  if (item.space_id !== space_id) {
    const message = `${param} is of space ${item.space_id}; this model's space is ${space_id}: the two cannot be compared.`;
    throw new CoreError('space_mismatch', message, { param });
  }
  const { written, type } = chooseType(item, param);
  const isBits = isBitType(type);
  const numbers = decodeEmbedding(written, type);
  if (!numbers && item.type) {
    throw new CoreError('invalid_request', `${param} is not a vector of type ${type} as /embed writes it.`, { param });
  }
  const most = model.manifest.embed_dim;
  // The last byte of bits is filled up.
  const mostNumbers = isBits ? Math.ceil(most / 8) * 8 : most;
  if (!numbers || numbers.length === 0 || numbers.length > mostNumbers) {
    const sent = numbers?.length ?? 'an unreadable number of';
    const message = `${param} has ${sent} numbers; vectors of this space have 1 to ${most}.`;
    throw new CoreError('dimension_mismatch', message, { param });
  }
  if (!item.type && type === 'float' && Array.from(numbers).every(Number.isInteger) && !isUnit(numbers)) {
    const message = `${param} holds whole numbers only, which may be of several types. Send its type: float, int8, uint8, binary or ubinary.`;
    throw new CoreError('invalid_request', message, { param });
  }
  return { param, numbers: Array.from(numbers).slice(0, most), isBits, modality: item.modality };
}

/** The vector to read and its type; of an object by type the most exact one, unless the item names another. */
function chooseType({ embedding, type }: VectorItem, param: string): { written: WrittenVector; type: EmbeddingType } {
  if (typeof embedding === 'string') return { written: embedding, type: type ?? 'base64' };
  if (Array.isArray(embedding)) return { written: embedding, type: type ?? 'float' };
  const candidates = type ? [type] : EmbeddingType.options;
  for (const candidate of candidates) {
    const written = embedding[candidate];
    if (written !== undefined) return { written, type: candidate };
  }
  throw new CoreError('invalid_request', `${param} holds no vector of type ${candidates.join(', ')}.`, { param });
}

function cutReady({ param, numbers, isBits, modality }: ReadyVector, dimensions: number): Scored {
  if (numbers.length < dimensions) {
    const message = `${param} has ${numbers.length} numbers; ${dimensions} dimensions were asked for.`;
    throw new CoreError('dimension_mismatch', message, { param });
  }
  const embedding = cutAndNormalise(numbers, dimensions);
  if (!isUnit(embedding)) throw new CoreError('invalid_request', `${param} is zero or not finite.`, { param });
  return { embedding, isBits, modality };
}
