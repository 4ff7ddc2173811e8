// Labels and their probabilities: by the closed form of the calibrated odds, and what is refused.
import { describe, expect, test } from 'vitest';
import { type ClassifyInput, classify } from '../../../api/core/classify.ts';
import type { Item } from '../../../api/core/items/items.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { notingEngines, wordModel } from './word-model.ts';

const model = wordModel();
/** As in the word model's manifest. */
const [SCALE, BIAS] = [2, -1];
const png = Uint8Array.from([
  0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 5, 0, 0, 0, 5,
]);

async function run(input: Item[], labels: ClassifyInput['labels'], options: Partial<ClassifyInput> = {}) {
  const { classified } = await classify(model, notingEngines(), { input, labels, ...options });
  return classified;
}
const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);

describe('probabilities', () => {
  const labels = ['a big dog', 'a big cat', 'the red boat'];

  test('are the softmax of scaled cosines, the best label first', async () => {
    const [item] = await run(['a big dog'], labels);
    expect(item?.labels.map(({ label }) => label)).toEqual(labels);
    const weights = item?.labels.map(({ cosine }) => Math.exp(SCALE * cosine)) ?? [];
    for (const [at, { score }] of item?.labels.entries() ?? []) {
      expect(score).toBeCloseTo((weights[at] ?? Number.NaN) / sum(weights), 10);
    }
    expect(item?.labels[0]?.cosine).toBeCloseTo(1, 5);
    expect(item?.none).toBeUndefined();
  });

  test('of a label by itself are those of the calibration', async () => {
    const [item] = await run(['a big dog'], labels);
    for (const { cosine, calibrated } of item?.labels ?? []) {
      expect(calibrated).toBeCloseTo(1 / (1 + Math.exp(-(SCALE * cosine + BIAS))), 10);
    }
  });

  test.each([0, 0.2, 0.5, 1])('of none of these follow from a prior of %s and odds of 1', async (nonePrior) => {
    const [item] = await run(['a big dog'], labels, { nonePrior });
    const odds = item?.labels.map(({ cosine }) => Math.exp(SCALE * cosine + BIAS)) ?? [];
    const mean = sum(odds) / odds.length;
    expect(item?.none).toBeCloseTo(nonePrior / (nonePrior + (1 - nonePrior) * mean), 10);
    expect(sum(item?.labels.map(({ score }) => score) ?? []) + (item?.none ?? Number.NaN)).toBeCloseTo(1, 10);
  });

  test('of one label and none are what the calibration says of the pair, where the prior is one half', async () => {
    const [item] = await run(['a big dog'], ['a big cat'], { nonePrior: 0.5 });
    expect(item?.labels[0]?.score).toBeCloseTo(item?.labels[0]?.calibrated ?? Number.NaN, 10);
  });

  test('stay finite for a calibration as steep as it may be', async () => {
    const steep = { scale: 5000, bias: -100 };
    const calibration = { text_text: steep, text_image: steep, image_image: steep };
    const extreme = { ...model, manifest: { ...model.manifest, calibration } };
    const asked = { input: ['a big dog'], labels, nonePrior: 0.5 };
    const { classified } = await classify(extreme, notingEngines(), asked);
    expect(classified[0]?.labels[0]?.score).toBeCloseTo(1, 5);
    for (const { score } of classified[0]?.labels ?? []) expect(score).not.toBeNaN();
  });

  test('of equal labels are equal, in the order of the request', async () => {
    const [item] = await run(['a dog'], { first: 'a cat', second: ['a cat'] });
    expect(item?.labels.map(({ label, score }) => [label, score])).toEqual([
      ['first', 0.5],
      ['second', 0.5],
    ]);
  });
});

describe('a label', () => {
  test('given by name goes through every template, and is their mean', async () => {
    const [item] = await run(['one dog'], ['dog', 'cat'], { templates: ['one {}', 'some {} and {}'] });
    const described = await run(['one dog'], {
      dog: ['one dog', 'some dog and dog'],
      cat: ['one cat', 'some cat and cat'],
    });
    expect(item?.labels).toEqual(described[0]?.labels);
  });

  test('keeps signs that mean something in a replacement', async () => {
    const [item] = await run(['$& dog'], ['$&', '$1'], { templates: ['{} dog'] });
    expect(item?.labels[0]).toMatchObject({ label: '$&' });
    expect(item?.labels[0]?.cosine).toBeCloseTo(1, 5);
  });

  test('is read as a caption too where an item is an image, and its name alone where it is a text', async () => {
    const texts = await run(['dog'], ['dog', 'cat']);
    expect(texts[0]?.labels[0]?.cosine).toBeCloseTo(1, 5);
    const engines = notingEngines();
    await classify(model, engines, { input: ['dog', { image: png }], labels: ['dog', 'cat'] });
    const alone = notingEngines();
    await classify(model, alone, { input: ['dog'], labels: ['dog', 'cat'] });
    // 'dog' with the text, 'dog' and 'cat' once, and 'a photo of a …' for each: special tokens are two a text.
    expect(sum(alone.permits)).toBe(3 + 2 * 3);
    expect(sum(engines.permits)).toBe(3 + 2 * 3 + 2 * (5 + 2));
  });

  test('is computed together with the items, once for all of them', async () => {
    const engines = notingEngines();
    await classify(model, engines, { input: Array(20).fill('dog'), labels: ['dog', 'cat'] });
    expect(engines.permits).toEqual([22 * 3]);
  });
});

describe('is refused', () => {
  const long = Array(40).fill('dog').join(' ');
  test.each<[string, ClassifyInput['labels'], Partial<ClassifyInput>, string, string]>([
    ['an empty list of labels', [], {}, 'empty_input', 'labels'],
    ['no description at all', {}, {}, 'empty_input', 'labels'],
    ['a label without a name', ['dog', ' '], {}, 'empty_input', 'labels.1'],
    ['a label without a sentence', { dog: [] }, {}, 'empty_input', 'labels.dog'],
    ['a sentence of nothing', { dog: 'a dog', cat: [' '] }, {}, 'empty_input', 'labels.cat'],
    ['the same label twice', ['dog', 'cat', 'dog'], {}, 'invalid_request', 'labels.2'],
    ['a template without a place', ['dog'], { templates: ['a {}', 'a photo'] }, 'invalid_request', 'templates.1'],
    ['no template at all', ['dog'], { templates: [] }, 'empty_input', 'templates'],
    ['templates of what is described', { dog: 'a dog' }, { templates: ['a {}'] }, 'invalid_request', 'templates'],
    ['a sentence that would be cut', { dog: 'a dog', cat: long }, {}, 'text_too_long', 'labels.cat'],
    [
      'more sentences than items',
      Array.from({ length: LIMITS.items + 1 }, (_, at) => `label ${at}`),
      {},
      'too_many_items',
      'labels',
    ],
  ])('%s', async (_, labels, options, code, param) => {
    await expect(run(['a dog'], labels, options)).rejects.toMatchObject({ code, details: { param } });
  });

  // What is sent is small, and what is made of it was made before it was counted.
  test.each<[string, ClassifyInput['labels'], string[] | undefined, string, RegExp]>([
    [
      'one template many times',
      ['dog'],
      Array(200_000).fill('{}'),
      'too_many_items',
      /^1 labels make 200000 sentences/,
    ],
    [
      'one sentence many times',
      { dog: Array(200_000).fill('dog'), cat: 'a cat' },
      undefined,
      'too_many_items',
      /^2 labels make 200001 sentences; a request may have 2048/,
    ],
    [
      'a template that repeats the label',
      Array.from({ length: 1000 }, (_, at) => `label ${at}`),
      ['{} '.repeat(50_000)],
      'text_too_long',
      // 10 names of 7 characters, 90 of 8, 900 of 9, each 50,000 times with a space behind it.
      /make sentences of 494500000 characters; a request may have 10485760\.$/,
    ],
  ])('%s', async (_, labels, templates, code, message) => {
    await expect(run(['a dog', 'a cat'], labels, { templates })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  test('labels that templates multiply beyond the limit', async () => {
    const labels = Array.from({ length: LIMITS.items / 2 + 1 }, (_, at) => `label ${at}`);
    expect(await run(['a dog'], labels)).toHaveLength(1);
    const templates = ['a {}', 'the {}'];
    await expect(run(['a dog'], labels, { templates })).rejects.toMatchObject({ code: 'too_many_items' });
  });
});
