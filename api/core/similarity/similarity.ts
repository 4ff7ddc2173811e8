// Scores two sides against each other: texts, images and ready vectors, as a matrix, as pairs or as the best matches.
import type { OnError, Truncate } from '../../../contracts/src/api/embed.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import type {
  PartialSimilarityResponse,
  SimilarityMode,
  SimilarityResponse,
  VectorItem,
} from '../../../contracts/src/api/similarity.ts';
import { attemptItems, catcherOf, type EmbedOptions, type Engines, orThrow } from '../embed.ts';
import { CoreError } from '../errors.ts';
import { checkImages, type Item, type PlacedItem, placeItems } from '../items/items.ts';
import { checkPairs } from '../limits.ts';
import { chooseDimensions, chooseModel, type Model, quantisationOf } from '../model.ts';
import { type Plan, type Planning, planItems } from '../plan.ts';
import { type Candidates, chooseCandidates } from './candidates.ts';
import { cutReady, type ReadyVector, readVector, withSigned } from './ready.ts';
import { type Scored, type ScoreOptions, scoreSides } from './scores.ts';

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

/** An item of side `a` or `b` that has no vector. */
export interface SideFailure {
  side: 'a' | 'b';
  index: number;
  error: CoreError;
}

/** With null for every score of an item that has no vector. */
export type PartialSimilarity = DistributiveOmit<PartialSimilarityResponse, 'errors'> & { failures: SideFailure[] };
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/**
 * Both sides are read and checked before either is computed, and then computed together. Fails with the first item that
 * has no vector.
 */
export async function similarity(model: Model, engines: Engines, asked: SimilarityInput): Promise<SimilarityResponse> {
  const { a, b, head, options } = await attempt(model, engines, { ...asked, onError: 'fail' });
  return { ...head, ...(await scoreSides<never>(a.map(orThrow), b.map(orThrow), options)) };
}

/** Fails only where the request as a whole cannot be answered, such as for a model that is not there. */
export async function similarityPartially(
  model: Model,
  engines: Engines,
  asked: SimilarityInput,
): Promise<PartialSimilarity> {
  const { a, b, head, options } = await attempt(model, engines, { ...asked, onError: 'partial' });
  const failures = [...failuresIn(a, 'a'), ...failuresIn(b, 'b')];
  return { ...head, ...(await scoreSides<null>(a.map(orNull), b.map(orNull), options)), failures };
}

/** What scoring would take: the items that are not ready vectors, which are checked. */
export async function planSimilarity(
  { model, admit }: Planning,
  { onError = 'fail', ...asked }: SimilarityInput & { onError?: OnError | undefined },
): Promise<Plan> {
  const { id, items, a, b, dimensions, tier, truncate, unknown } = prepare(model, { ...asked, onError });
  const planned = await planItems({ model, admit }, items, { tier, truncate, unknown, onError });
  const refused = [...failuresIn(a, 'a'), ...failuresIn(b, 'b')];
  const { a: fieldA, b: fieldB } = asked.fields ?? FIELDS;
  const refusals = refused.map(({ side, index, error }) => {
    return { param: `${side === 'a' ? fieldA : fieldB}.${index}`, error };
  });
  const { space_id } = model.manifest;
  return { model: id, space_id, dimensions, ...planned, items: [...planned.items, ...refusals] };
}

const FIELDS = { a: 'a', b: 'b' };

interface Attempt {
  /** Vectors, and errors in the places of items that have none. */
  a: (Scored | CoreError)[];
  b: (Scored | CoreError)[];
  head: Pick<SimilarityResponse, 'object' | 'model' | 'space_id' | 'dimensions' | 'usage'>;
  options: ScoreOptions;
}

async function attempt(
  model: Model,
  engines: Engines,
  asked: SimilarityInput & { onError: OnError },
): Promise<Attempt> {
  const { mode = 'matrix', top_k = DEFAULT_TOP_K, onError } = asked;
  const { id, a, b, items, candidates, ...options } = prepare(model, asked);
  const { outcomes, usage } = await attemptItems({ model, engines }, items, { ...options, onError });
  const computed = new Map<Entry, Scored | CoreError | undefined>(items.map((item, index) => [item, outcomes[index]]));
  const side = (entries: Side) => {
    return entries.flatMap((entry) => ('item' in entry ? (computed.get(entry) ?? []) : entry));
  };
  const [left, right] = withSigned([side(a), side(b)], quantisationOf(model).bits);
  const { calibration, space_id } = model.manifest;
  const { dimensions } = options;
  const { admit } = engines;
  const head = { object: 'similarity' as const, model: id, space_id, dimensions, usage };
  return { a: left, b: right, head, options: { mode, topK: top_k, calibration, candidates, dimensions, admit } };
}

function failuresIn(side: (object | CoreError)[], name: 'a' | 'b'): SideFailure[] {
  return side.flatMap((entry, index) => (entry instanceof CoreError ? { side: name, index, error: entry } : []));
}

function orNull(outcome: Scored | CoreError): Scored | null {
  return outcome instanceof CoreError ? null : outcome;
}

/** Items to be computed, ready vectors as they are scored, and errors. */
type Side = (PlacedItem | Scored | CoreError)[];

interface Prepared extends EmbedOptions {
  id: string;
  a: Side;
  b: Side;
  /** What has to be computed, of both sides. */
  items: PlacedItem[];
  candidates: Candidates | undefined;
}

/** Both sides, checked as far as that needs no text or image to be read. */
function prepare(model: Model, asked: SimilarityInput & { onError: OnError }): Prepared {
  const { mode = 'matrix', truncate = 'end', fields = FIELDS } = asked;
  const [placedA, placedB] = [placeItems(asked.a, fields.a), placeItems(asked.b, fields.b)];
  checkImages([...asked.a, ...asked.b], [fields.a, fields.b]);
  checkMode(asked, mode);
  if (mode !== 'pairs') {
    const counts: [number, number] = [placedA.length, placedB.length];
    checkPairs({ names: [fields.a, fields.b], counts }, model.limits);
  }
  const { id, tier } = chooseModel(model, asked.model);
  const orError = catcherOf(asked.onError);
  const read = (placed: PlacedItem<Item | VectorItem>) => orError(() => readEntry(placed, model));
  const [readA, readB] = [placedA.map(read), placedB.map(read)];
  // Without `dimensions`, ready vectors decide: the shortest of them is what all can be compared at.
  const lengths = [...readA, ...readB].flatMap((entry) => ('numbers' in entry ? entry.numbers.length : []));
  const shortest = Math.min(...lengths, model.manifest.embed_dim);
  const dimensions = chooseDimensions(model, asked.dimensions ?? shortest);
  const candidates = chooseCandidates(model, { count: asked.candidates, tier, dimensions });
  const { bits } = quantisationOf(model);
  const cut = (entry: Entry | CoreError) => {
    return 'numbers' in entry ? orError(() => cutReady(entry, { dimensions, bits })) : entry;
  };
  const [a, b] = [readA.map(cut), readB.map(cut)];
  const items = [...a, ...b].flatMap((entry) => ('item' in entry ? entry : []));
  return { id, a, b, items, candidates, tier, dimensions, truncate, unknown: 'refuse' };
}

/** An item of a side: a ready vector, or a text or image to be computed. */
type Entry = ReadyVector | PlacedItem;

function readEntry({ item, place }: PlacedItem<Item | VectorItem>, model: Model): Entry {
  return typeof item !== 'string' && 'embedding' in item ? readVector(item, place.param, model) : { item, place };
}

function checkMode({ a, b, top_k: topK }: SimilarityInput, mode: SimilarityMode): void {
  if (mode === 'pairs' && a.length !== b.length) {
    const message = `pairs needs sides of one length; a has ${a.length}, b has ${b.length}.`;
    throw new CoreError('invalid_request', message, { param: 'b' });
  }
  if (topK !== undefined && (mode !== 'top_k' || topK > LIMITS.top_k)) {
    const message =
      mode === 'top_k' ? `top_k may be at most ${LIMITS.top_k}; not ${topK}.` : 'top_k needs "mode": "top_k".';
    throw new CoreError('invalid_request', message, { param: 'top_k' });
  }
}
