// Scores of two sides of vectors: cosines, their calibrated probabilities, and what they say of a search.
import type { Modality } from '../../../contracts/src/api/embed.ts';
import type { SimilarityMode, VectorItem, Verdict } from '../../../contracts/src/api/similarity.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { dot } from '../vectors/vectors.ts';
import type { Admit } from '../work.ts';
import { type Candidates, type Judgement, judge } from './candidates.ts';
import { logistic } from './logistic.ts';
import { rowsInTurns } from './rows.ts';
import { judgeSearch } from './verdict.ts';

export interface Scored {
  /** At unit length. */
  embedding: Float32Array;
  /** The embedding is the signs of what bits are taken of. */
  isBits?: boolean;
  /** What bits of the embedding would be the signs of; absent: the embedding itself. */
  signed?: Float32Array;
  modality?: VectorItem['modality'];
  /** Of one text; undefined where that is not known. */
  truncation?: VectorItem['truncation'];
}

export interface ScoreOptions {
  mode: SimilarityMode;
  topK: number;
  calibration: ModelManifest['calibration'];
  candidates: Candidates | undefined;
  /** Of every vector. */
  dimensions: number;
  /** Many scores are computed in turns. */
  admit: Admit;
}

/**
 * Scores in the form of the mode. `Missing` is `null` where items of a side may have no vector: so are their scores, and
 * they are no hits; `never` where all have one.
 */
export async function scoreSides<Missing extends null>(
  a: (Scored | Missing)[],
  b: (Scored | Missing)[],
  { mode, topK, calibration, candidates, dimensions, admit }: ScoreOptions,
) {
  const judgesRows = candidates?.verdicts !== undefined && mode !== 'pairs';
  // Of a row only what is answered stays: what is known of every pair takes several times as much memory.
  const rowOf = (i: number) => {
    const left = a[i];
    const [start, against] = mode === 'pairs' ? [i, b.slice(i, i + 1)] : [0, b];
    const row =
      left === undefined
        ? []
        : against.map((right, j) => scorePair(left, right, { index: start + j, calibration, candidates }));
    const verdict = judgesRows ? verdictOf(left, { row, b, candidates }) : null;
    if (mode === 'top_k') return { verdict, hits: best(row, topK).map(({ modalities: _, ...hit }) => hit) };
    return {
      verdict,
      scores: row.map(({ score }) => score),
      calibrated: row.map((pair) => pair.calibrated),
      probabilities: candidates ? row.map((pair) => pair.probability ?? null) : [],
      percentiles: candidates ? row.map((pair) => pair.percentile ?? null) : [],
    };
  };
  const width = dimensions * (mode === 'pairs' ? 1 : b.length);
  const rows = await rowsInTurns(admit, { rows: a.length, width }, rowOf);
  const judged = judgesRows ? { verdicts: rows.map(({ verdict }) => verdict) } : {};
  if (mode === 'top_k') return { mode, results: rows.map(({ hits = [] }) => hits), ...judged };
  const scores = rows.map((row) => row.scores ?? []);
  const calibrated = rows.map((row) => row.calibrated ?? []);
  const among = candidates && {
    probabilities: rows.map((row) => row.probabilities ?? []),
    percentiles: rows.map((row) => row.percentiles ?? []),
  };
  if (mode === 'matrix') return { mode, scores, calibrated, ...among, ...judged };
  const flat = among && { probabilities: among.probabilities.flat(), percentiles: among.percentiles.flat() };
  return { mode, scores: scores.flat(), calibrated: calibrated.flat(), ...flat };
}

interface Pair<Missing> extends Partial<Judgement> {
  /** Of the item in `b`. */
  index: number;
  score: number | Missing;
  calibrated: number | null;
  modalities: [Modality, Modality] | undefined;
}

function scorePair<Missing extends null>(
  left: Scored | Missing,
  right: Scored | Missing,
  { index, calibration, candidates }: Pick<ScoreOptions, 'calibration' | 'candidates'> & { index: number },
): Pair<Missing> {
  if (left === null) return { index, score: left, calibrated: null, modalities: undefined };
  if (right === null) return { index, score: right, calibrated: null, modalities: undefined };
  const score = cosine(left, right);
  const modalities = modalitiesOf(left, right);
  const calibrated = modalities ? probability(score, modalities, calibration) : null;
  return { index, score, calibrated, modalities, ...(candidates ? judge(score, modalities, candidates) : {}) };
}

/** Equal scores keep the order of b. */
function best(row: Pair<null>[], topK: number): Pair<never>[] {
  return row
    .flatMap(({ score, ...pair }) => (score === null ? [] : { ...pair, score }))
    .sort((x, y) => y.score - x.score || x.index - y.index)
    .slice(0, topK);
}

/** Null where one of b has no vector, too: it may match. */
function verdictOf(
  a: Scored | null | undefined,
  { row, b, candidates }: { row: Pair<null>[]; b: (Scored | null)[]; candidates: Candidates },
): Verdict | null {
  const { count, verdicts } = candidates;
  const found = row.flatMap(({ index, score, modalities }) => {
    return score === null ? [] : { score, modalities, tokens: tokensOf(b[index]) };
  });
  return (
    (verdicts && found.length === row.length && judgeSearch({ found, count, tokens: tokensOf(a) }, verdicts)) || null
  );
}

function tokensOf(item: Scored | null | undefined): number | undefined {
  return item?.truncation?.tokens_total;
}

/** Estimated where only the signs of a vector are known: exact for a vector with itself, rough for others. */
export function cosine(a: Scored, b: Scored): number {
  if (a.isBits && b.isBits) return cosineOfSigns(a.embedding, b.embedding);
  if (a.isBits) return cosineWithSigns(b.signed ?? b.embedding, a.embedding);
  if (b.isBits) return cosineWithSigns(a.signed ?? a.embedding, b.embedding);
  return Math.max(-1, Math.min(1, dot(a.embedding, b.embedding)));
}

/**
 * The share of the vector's absolute sum that the signs agree with. Large numbers count more, as in a cosine. For normally
 * distributed numbers, which those of a rotated vector nearly are, the estimate is unbiased.
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
