// Probabilities of a cosine among many candidates: that it is a match, and that a random pair comes as near.
import type { Modality } from '../../../contracts/src/api/embed.ts';
import type { ScoreDistribution, ScoreDistributions } from '../../../contracts/src/model/manifest.ts';
import { CoreError } from '../errors.ts';
import { type KnownScores, knownScores, type Model, type Tier } from '../model.ts';

export interface Candidates extends KnownScores {
  /** How many things were searched. */
  count: number;
}
export interface Judgement {
  probability: number | null;
  percentile: number | null;
}

/** Distributions are of the student and verdicts of a tier, both at full length: other cosines have others. */
export function chooseCandidates(
  { manifest }: Model,
  { count, tier, dimensions }: { count: number | undefined; tier: Tier; dimensions: number },
): Candidates | undefined {
  if (count === undefined) return undefined;
  const refuse = (problem: string) => {
    throw new CoreError('invalid_request', `candidates is not possible here: ${problem}.`, { param: 'candidates' });
  };
  const { name, embed_dim } = manifest;
  const known = knownScores(manifest, tier);
  if (!known && tier !== 'student' && knownScores(manifest, 'student')) {
    return refuse(`scores of the ${tier} tier have no distribution; name the model ${name}`);
  }
  if (!known) return refuse(`the model ${name} was published without distributions of its scores`);
  if (dimensions !== embed_dim) return refuse(`it needs vectors of full length, ${embed_dim}, not ${dimensions}`);
  return { count, ...known };
}

/**
 * Bayes: before the cosine is known, none of them matching is as probable as each one of them, so that the odds of one
 * are 1 : count; the cosine multiplies them by its likelihood ratio.
 */
export function judge(
  score: number,
  modalities: [Modality, Modality] | undefined,
  { count, distributions }: Candidates,
): Judgement {
  const distribution = modalities && distributions && distributionOf(modalities, distributions);
  if (!distribution || !distributions) return { probability: null, percentile: null };
  const { cosines, log_ratios, random } = distribution;
  const odds = Math.exp(interpolate(score, cosines, log_ratios)) / count;
  return { probability: odds / (1 + odds), percentile: 100 * interpolate(score, random, distributions.levels) };
}

function distributionOf(
  [a, b]: [Modality, Modality],
  { text_text, image_image, text_image }: ScoreDistributions,
): ScoreDistribution | undefined {
  if (a === 'mixed' || b === 'mixed') return undefined;
  if (a !== b) return text_image;
  return a === 'text' ? text_text : image_image;
}

/** Linear between the points of an ascending `xs`, constant outside. */
export function interpolate(x: number, xs: number[], ys: number[]): number {
  const next = xs.findIndex((value) => value > x);
  if (next === 0) return ys[0] ?? Number.NaN;
  if (next < 0) return ys.at(-1) ?? Number.NaN;
  const [x0 = 0, x1 = 0, y0 = 0, y1 = 0] = [xs[next - 1], xs[next], ys[next - 1], ys[next]];
  return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}
