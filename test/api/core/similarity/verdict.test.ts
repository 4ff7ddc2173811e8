// Verdicts on whole searches against the logistic map and the thresholds written out, in every form they are answered in.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classify } from '../../../../api/core/classify.ts';
import { embed } from '../../../../api/core/embed.ts';
import type { Item } from '../../../../api/core/items/items.ts';
import { listModels } from '../../../../api/core/model.ts';
import { type SimilarityInput, similarity } from '../../../../api/core/similarity/similarity.ts';
import { type Found, judgeBest, judgeSearch } from '../../../../api/core/similarity/verdict.ts';
import type { Modality } from '../../../../contracts/src/api/embed.ts';
import type { SearchVerdict, SearchVerdicts, ShortTexts } from '../../../../contracts/src/model/verdict.ts';
import { draw, notingEngines, wordModel } from '../word-model.ts';

fc.configureGlobal({ seed: 20261126, numRuns: 200 });

const verdict: SearchVerdict = {
  counts: [1, 100, 10_000],
  scales: [20, 16, 8],
  biases: [-4, -6, -7],
  absent_below: [0.1, 0.2, 0.26],
  present_above: [0.2, 0.4, 0.5],
};
const constant = (scale: number, bias: number): SearchVerdict => ({
  counts: [4],
  scales: [scale],
  biases: [bias],
  absent_below: [0.65],
  present_above: [0.8],
});
const verdicts: SearchVerdicts = {
  text_image: verdict,
  image_text: constant(3, -1),
  text_text: constant(5, -2),
  image_image: constant(9, -3),
};
const png = Uint8Array.from([
  0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 5, 0, 0, 0, 5,
]);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe('the probability that anything matches', () => {
  test.each([
    ['at a count that was measured', 100, 0.5, 16 * 0.5 - 6],
    ['halfway in the logarithm', 10, 0.5, 18 * 0.5 - 5],
    ['halfway further on', 1000, 0.3, 12 * 0.3 - 6.5],
    // By a further factor of 100 the bias falls once more by 1; the scale stays.
    ['beyond the last', 1_000_000, 0.9, 8 * 0.9 - 8],
  ])('%s is that of the interpolated map', (_, count, score, logit) => {
    expect(judgeBest(score, count, verdict).probability).toBeCloseTo(sigmoid(logit), 10);
  });

  test('beyond the last count does not rise with the count, and it never falls with the cosine', () => {
    const rising: SearchVerdict = { ...verdict, biases: [-9, -5, -1] };
    const cosine = fc.double({ min: -1, max: 1, noNaN: true });
    const count = fc.integer({ min: 1, max: 1e9 });
    fc.assert(
      fc.property(cosine, cosine, count, count, (a, b, m, n) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const at = (score: number, count: number) => judgeBest(score, count, rising).probability;
        expect(at(high, m)).toBeGreaterThanOrEqual(at(low, m));
        const [few, many] = [10_000 + Math.min(m, n), 10_000 + Math.max(m, n)];
        expect(at(a, many)).toBeLessThanOrEqual(at(a, few));
      }),
    );
  });
});

test.each([
  [0.19, 100, 'no'],
  [0.2, 100, 'uncertain'],
  [0.4, 100, 'uncertain'],
  [0.41, 100, 'yes'],
  // Halfway in the logarithm: between 0.15 and 0.3.
  [0.14, 10, 'no'],
  [0.16, 10, 'uncertain'],
  [0.31, 10, 'yes'],
  // Beyond the last both go on: 0.32 and 0.6.
  [0.31, 1_000_000, 'no'],
  [0.59, 1_000_000, 'uncertain'],
  [0.61, 1_000_000, 'yes'],
])('a best hit of %d among %d: %s', (score, count, matches) => {
  expect(judgeBest(score, count, verdict).matches).toBe(matches);
});

describe('of a search', () => {
  const judge = (found: Found[], tokens?: number, by: SearchVerdicts = verdicts) =>
    judgeSearch({ found, count: 100, tokens }, by);

  test('by a short text among images is by the verdict of short texts, and no other is', () => {
    const by: SearchVerdicts = { ...verdicts, short_texts: { max_tokens: 6, text_image: constant(7, -2) } };
    const at = (modalities: [Modality, Modality], tokens?: number) =>
      judge([{ score: 0.5, modalities }], tokens, by)?.probability;
    expect(at(['text', 'image'], 1)).toBeCloseTo(sigmoid(1.5), 10);
    expect(at(['text', 'image'], 6)).toBeCloseTo(sigmoid(1.5), 10);
    expect(at(['text', 'image'], 7)).toBeCloseTo(sigmoid(2), 10);
    // Whoever sends a vector may not say how long its text was.
    expect(at(['text', 'image'])).toBeCloseTo(sigmoid(2), 10);
    expect(at(['text', 'text'], 1)).toBeCloseTo(sigmoid(0.5), 10);
    expect(at(['image', 'text'], 1)).toBeCloseTo(sigmoid(0.5), 10);
    // A manifest of before knows no exception.
    expect(judge([{ score: 0.5, modalities: ['text', 'image'] }], 1)?.probability).toBeCloseTo(sigmoid(2), 10);
  });

  test('is by the verdict of short texts where one side is short, as far as the model has one', () => {
    const short = {
      max_tokens: 6,
      text_image: constant(7, -2),
      text_text: constant(8, -2),
      image_text: constant(4, -2),
      long_text: constant(6, -2),
    };
    const at = (modalities: [Modality, Modality], [a, b]: (number | undefined)[], by: ShortTexts = short) => {
      const found = [{ score: 0.5, modalities, tokens: b }];
      return judge(found, a, { ...verdicts, short_texts: by })?.probability;
    };
    expect(at(['text', 'text'], [6, 7])).toBeCloseTo(sigmoid(2), 10);
    expect(at(['text', 'text'], [7, 6])).toBeCloseTo(sigmoid(1), 10);
    expect(at(['image', 'text'], [undefined, 6])).toBeCloseTo(sigmoid(0), 10);
    // Two names are compared as two sentences are, and a text of which nothing is said is a sentence.
    expect(at(['text', 'text'], [6, 6])).toBeCloseTo(sigmoid(0.5), 10);
    expect(at(['text', 'text'], [6, undefined])).toBeCloseTo(sigmoid(2), 10);
    expect(at(['image', 'text'], [undefined, undefined])).toBeCloseTo(sigmoid(0.5), 10);
    const before = { max_tokens: 6, text_image: constant(7, -2) };
    expect(at(['text', 'text'], [6, 7], before)).toBeCloseTo(sigmoid(0.5), 10);
    expect(at(['image', 'text'], [undefined, 6], before)).toBeCloseTo(sigmoid(0.5), 10);
  });

  test('the best hit decides, and of several modalities the surer one', () => {
    const text = { score: 0.5, modalities: ['text', 'text'] as ['text', 'text'] };
    const image = { score: 0.5, modalities: ['text', 'image'] as ['text', 'image'] };
    expect(judge([{ ...text, score: 0.3 }, text])?.probability).toBeCloseTo(sigmoid(0.5), 10);
    expect(judge([text, image])?.probability).toBeCloseTo(sigmoid(2), 10);
    expect(judge([image, { ...text, score: 0.9 }])?.probability).toBeCloseTo(sigmoid(2.5), 10);
  });

  test('which of the two searched counts', () => {
    const at = (a: 'text' | 'image', b: 'text' | 'image') => judge([{ score: 0.4, modalities: [a, b] }])?.probability;
    expect(at('text', 'image')).toBeCloseTo(sigmoid(0.4), 10);
    expect(at('image', 'text')).toBeCloseTo(sigmoid(0.2), 10);
    expect(at('image', 'image')).toBeCloseTo(sigmoid(0.6), 10);
  });

  test('is not said where one of the candidates cannot be judged', () => {
    const text = { score: 0.5, modalities: ['text', 'text'] as ['text', 'text'] };
    expect(judge([text, { score: 0.1, modalities: ['text', 'mixed'] }])).toBeUndefined();
    expect(judge([text, { score: 0.1, modalities: undefined }])).toBeUndefined();
  });
});

describe('/similarity', () => {
  const model = wordModel();
  model.manifest.search_verdicts = { student: verdicts, static: { ...verdicts, text_text: constant(7, -2) } };
  const ask = (body: Partial<SimilarityInput>) =>
    similarity(model, notingEngines(), { a: ['a dog', 'blue'], b: ['a dog', 'the cat'], candidates: 8, ...body });

  test('says for every a whether anything matches, as a matrix and as hits', async () => {
    // Two of the tokens are the same in every text: cosines of 1 and of 2 / sqrt(12) or less.
    const matrix = await ask({ mode: 'matrix' });
    const hits = await ask({ mode: 'top_k', top_k: 1 });
    if (matrix.mode !== 'matrix' || hits.mode !== 'top_k') throw new Error('mode');
    const best = matrix.scores.map((row) => Math.max(...row));
    expect(best).toEqual([expect.closeTo(1, 5), expect.closeTo(2 / Math.sqrt(12), 1)]);
    const matches = ['yes', 'no'];
    const expected = best.map((score, at) => ({
      matches: matches[at],
      probability: expect.closeTo(sigmoid(5 * score - 2), 10),
    }));
    expect(matrix.verdicts).toEqual(expected);
    // Bit by bit, however the rows are asked for.
    expect(hits.verdicts).toEqual(matrix.verdicts);
    const alone = await ask({ a: ['blue'], mode: 'matrix' });
    expect(alone).toMatchObject({ verdicts: [matrix.verdicts?.[1]] });
  });

  test('judges ready vectors as it judges texts', async () => {
    const vector = (seed: number) => {
      const numbers = draw(seed);
      const length = Math.hypot(...numbers);
      return numbers.map((value) => value / length);
    };
    const space_id = model.manifest.space_id;
    const item = (seed: number) => ({ embedding: vector(seed), space_id, modality: 'image' as const });
    const answer = await ask({ a: [item(1)], b: [item(1), item(2)], mode: 'top_k' });
    expect(answer).toMatchObject({ verdicts: [{ matches: 'yes', probability: expect.closeTo(sigmoid(6), 5) }] });
    const { modality: _, ...nameless } = item(2);
    expect(await ask({ a: [item(1)], b: [nameless], mode: 'top_k' })).toMatchObject({ verdicts: [null] });
  });

  test('judges a short text as one, sent as text or as the item of /embed that it became', async () => {
    const short = wordModel();
    // Four tokens with both special ones.
    const short_texts = { max_tokens: 4, text_image: constant(7, -2) };
    short.manifest.search_verdicts = { student: { ...verdicts, short_texts } };
    const image = { embedding: draw(3), space_id: short.manifest.space_id, modality: 'image' as const };
    const { embedded } = await embed(short, notingEngines(), { input: ['a dog', 'a big dog'] });
    const asked = { b: [image], candidates: 8, mode: 'top_k' as const };
    const texts = await similarity(short, notingEngines(), { ...asked, a: ['a dog', 'a big dog'] });
    const items = embedded.map(({ embedding, ...item }) => {
      return { ...item, embedding: [...embedding], space_id: short.manifest.space_id };
    });
    const ready = await similarity(short, notingEngines(), { ...asked, a: items });
    const { verdicts: found, results } = texts as {
      verdicts: { probability: number }[];
      results: { score: number }[][];
    };
    const [dog = Number.NaN, big = Number.NaN] = results.map(([hit]) => hit?.score);
    expect(found.map(({ probability }) => probability)).toEqual([
      expect.closeTo(sigmoid(7 * dog - 2), 10),
      expect.closeTo(judgeBest(big, 8, verdict).probability, 10),
    ]);
    expect(ready).toMatchObject({
      verdicts: found.map(({ probability }) => ({ probability: expect.closeTo(probability, 5) })),
    });
  });

  test('judges names and sentences that are found by verdicts of their own, and the surer one decides', async () => {
    const short = wordModel();
    const short_texts = { max_tokens: 4, text_image: verdict, image_text: constant(7, -2) };
    short.manifest.search_verdicts = { student: { ...verdicts, short_texts } };
    const image = { embedding: draw(3), space_id: short.manifest.space_id, modality: 'image' as const };
    const among = async (b: string[]) => {
      const answer = await similarity(short, notingEngines(), { a: [image], b, candidates: 4, mode: 'matrix' });
      if (answer.mode !== 'matrix') throw new Error('mode');
      return { scores: answer.scores[0] ?? [], probability: answer.verdicts?.[0]?.probability ?? Number.NaN };
    };
    const [names, sentences] = [await among(['a dog', 'blue']), await among(['a big dog', 'the big blue boat'])];
    expect(names.probability).toBeCloseTo(sigmoid(7 * Math.max(...names.scores) - 2), 10);
    expect(sentences.probability).toBeCloseTo(sigmoid(3 * Math.max(...sentences.scores) - 1), 10);
    const both = await among(['a dog', 'a big dog', 'blue', 'the big blue boat']);
    expect(both.probability).toBeCloseTo(Math.max(names.probability, sentences.probability), 10);
  });

  test('judges the scores of another tier by its own map, without probabilities of single hits', async () => {
    const answer = await ask({ model: 'words-static', mode: 'matrix' });
    if (answer.mode !== 'matrix') throw new Error('mode');
    const [best = 0] = answer.scores.map((row) => Math.max(...row));
    expect(answer.verdicts?.[0]?.probability).toBeCloseTo(sigmoid(7 * best - 2), 10);
    expect(answer.probabilities).toEqual([
      [null, null],
      [null, null],
    ]);
  });

  test('has no verdict on pairs, without candidates and of a model without verdicts', async () => {
    expect(await ask({ mode: 'pairs' })).not.toHaveProperty('verdicts');
    expect(await ask({ candidates: undefined })).not.toHaveProperty('verdicts');
    const answer = await similarity(wordModel(), notingEngines(), { a: ['a dog'], b: ['a dog'] });
    expect(answer).not.toHaveProperty('verdicts');
  });

  test('needs full length for it', async () => {
    await expect(ask({ dimensions: 128 })).rejects.toMatchObject({ details: { param: 'candidates' } });
  });

  test('the list of models gives the numbers to whoever searches elsewhere', () => {
    const [student, fixed] = listModels(model).data;
    expect(student).toMatchObject({ candidates: true, search_verdicts: verdicts });
    expect(fixed).toMatchObject({ candidates: true, search_verdicts: { text_text: { scales: [7] } } });
    expect(listModels(wordModel()).data[0]).not.toHaveProperty('search_verdicts');
  });
});

describe('/classify', () => {
  const model = wordModel();
  model.manifest.search_verdicts = { student: verdicts };
  const labels = ['a big dog', 'a big cat', 'the red boat'];

  test.each([0, 0.2, 0.5, 1])('none of these follows from the best label and a prior of %s', async (nonePrior) => {
    const { classified } = await classify(model, notingEngines(), { input: ['a big dog'], labels, nonePrior });
    const [item] = classified;
    const any = sigmoid(5 * (item?.labels[0]?.cosine ?? Number.NaN) - 2);
    expect(item?.none).toBeCloseTo((nonePrior * (1 - any)) / (nonePrior * (1 - any) + (1 - nonePrior) * any), 10);
    const total = (item?.labels ?? []).reduce((sum, { score }) => sum + score, item?.none ?? Number.NaN);
    expect(total).toBeCloseTo(1, 10);
  });

  test('a sentence among names is judged as one, a sentence among sentences and a photo among names as captions', async () => {
    const named = wordModel();
    const short_texts = {
      max_tokens: 4,
      text_image: verdict,
      image_text: constant(100, 0),
      long_text: constant(7, -2),
    };
    named.manifest.search_verdicts = { student: { ...verdicts, short_texts } };
    const none = async (input: Item, labels: string[] | Record<string, string>, [scale, bias]: [number, number]) => {
      const { classified } = await classify(named, notingEngines(), { input: [input], labels, nonePrior: 0.5 });
      const [item] = classified;
      expect(item?.none).toBeCloseTo(1 - sigmoid(scale * (item?.labels[0]?.cosine ?? Number.NaN) + bias), 6);
    };
    await none('the big blue boat', ['dog', 'boat'], [7, -2]);
    await none('the big blue boat', { pets: 'a big dog', boats: 'the red boat' }, [5, -2]);
    await none({ image: png }, { pets: 'dog', boats: 'boat' }, [3, -1]);
  });
});
