// Probabilities among candidates against Bayes' rule written out, and percentiles against the quantiles they are read from.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge } from '../../../../api/core/similarity/candidates.ts';
import { type SimilarityInput, similarity } from '../../../../api/core/similarity/similarity.ts';
import type { ScoreDistributions } from '../../../../contracts/src/model/manifest.ts';
import { notingEngines, wordModel } from '../word-model.ts';

fc.configureGlobal({ seed: 20261126, numRuns: 200 });

const of = (cosines: number[], log_ratios: number[]) => ({
  random: [-0.4, 0, 0.4],
  matching: [0.1, 0.5, 0.9],
  cosines,
  log_ratios,
});
const distributions: ScoreDistributions = {
  levels: [0, 0.5, 1],
  text_image: of([0, 0.5], [-2, 4]),
  text_text: of([0.2, 0.4, 0.8], [-3, 0, 5]),
  image_image: of([0.5, 0.9], [-1, 9]),
};
const judged = (score: number, count: number) => judge(score, ['text', 'image'], { count, distributions });

describe('the probability of a match', () => {
  test.each([
    [0, 1, Math.exp(-2)],
    [0.25, 1, Math.exp(1)],
    [0.25, 8, Math.exp(1)],
    [0.5, 1000, Math.exp(4)],
    // Beyond what was measured nothing more is claimed.
    [-1, 8, Math.exp(-2)],
    [1, 8, Math.exp(4)],
  ])('at cosine %d among %d is that of the likelihood ratio and the prior', (score, count, ratio) => {
    const prior = 1 / (count + 1);
    const posterior = (ratio * prior) / (ratio * prior + 1 - prior);
    expect(judged(score, count).probability).toBeCloseTo(posterior, 10);
  });

  test('never falls with the cosine and never rises with the number of candidates', () => {
    const cosine = fc.double({ min: -1, max: 1, noNaN: true });
    const count = fc.integer({ min: 1, max: 1e9 });
    fc.assert(
      fc.property(cosine, cosine, count, count, (a, b, m, n) => {
        const [low, high, few, many] = [Math.min(a, b), Math.max(a, b), Math.min(m, n), Math.max(m, n)];
        expect(judged(high, few).probability).toBeGreaterThanOrEqual(judged(low, few).probability ?? 2);
        expect(judged(low, many).probability).toBeLessThanOrEqual(judged(low, few).probability ?? -1);
      }),
    );
  });

  test('is that of the modalities', () => {
    const at = (a: 'text' | 'image' | 'mixed', b: 'text' | 'image' | 'mixed') =>
      judge(0.6, [a, b], { count: 1, distributions }).probability;
    expect(at('text', 'text')).toBeCloseTo(1 / (1 + Math.exp(-2.5)), 10);
    expect(at('image', 'image')).toBeCloseTo(1 / (1 + Math.exp(-1.5)), 10);
    expect(at('image', 'text')).toBe(at('text', 'image'));
    expect([at('mixed', 'text'), at('image', 'mixed')]).toEqual([null, null]);
  });
});

test('the percentile is the percentage of random pairs with a lower cosine', () => {
  expect([-1, -0.2, 0, 0.3, 1].map((score) => Math.round(judged(score, 1).percentile ?? -1))).toEqual([
    0, 25, 50, 88, 100,
  ]);
});

describe('/similarity', () => {
  const model = wordModel();
  model.manifest.score_distributions = distributions;
  const ask = (body: Partial<SimilarityInput>, of = model) =>
    similarity(of, notingEngines(), { a: ['a dog', 'a boat'], b: ['a dog', 'the cat'], candidates: 8, ...body });

  test('answers with both in every mode, for the same pairs as the cosines', async () => {
    const matrix = await ask({ mode: 'matrix' });
    const pairs = await ask({ mode: 'pairs' });
    const best = await ask({ mode: 'top_k', top_k: 1 });
    if (matrix.mode !== 'matrix' || pairs.mode !== 'pairs' || best.mode !== 'top_k') throw new Error('mode');
    const expected = matrix.scores.map((row) =>
      row.map((score) => judge(score, ['text', 'text'], { count: 8, distributions })),
    );
    expect(matrix.probabilities).toEqual(expected.map((row) => row.map(({ probability }) => probability)));
    expect(matrix.percentiles).toEqual(expected.map((row) => row.map(({ percentile }) => percentile)));
    expect(pairs.probabilities).toEqual([expected[0]?.[0]?.probability, expected[1]?.[1]?.probability]);
    expect(pairs.percentiles).toEqual([expected[0]?.[0]?.percentile, expected[1]?.[1]?.percentile]);
    expect(best.results[0]?.[0]).toMatchObject({ index: 0, ...expected[0]?.[0] });
  });

  test('answers without them where no candidates are named', async () => {
    const answer = await ask({ candidates: undefined });
    expect(Object.keys(answer)).not.toContain('probabilities');
  });

  test('has none of a vector that does not say what it stands for', async () => {
    const [embedding, space_id] = [Array.from({ length: 512 }, (_, i) => (i === 3 ? 1 : 0)), model.manifest.space_id];
    const answer = await ask({ a: [{ embedding, space_id }], b: ['a dog'] });
    expect(answer).toMatchObject({ probabilities: [[null]], percentiles: [[null]] });
  });

  test.each([
    ['of the static tier', { model: 'words-static' }, /name the model words/],
    ['of fewer dimensions', { dimensions: 128 }, /full length, 512, not 128/],
  ])('refuses candidates for scores %s', async (_, body, message) => {
    await expect(ask(body)).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(message),
      details: { param: 'candidates' },
    });
  });

  test('refuses candidates of a model that was published without distributions', async () => {
    await expect(ask({}, wordModel())).rejects.toMatchObject({
      message: expect.stringContaining('without distributions'),
    });
  });
});
