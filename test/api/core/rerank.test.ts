// The order of documents by how well they match a query: of words that two share, across modalities, and what is refused.
import { describe, expect, test } from 'vitest';
import { type RerankInput, rerank } from '../../../api/core/rerank.ts';
import { notingEngines, wordModel } from './word-model.ts';

const model = wordModel();
const order = async (asked: RerankInput) =>
  (await rerank(model, notingEngines(), asked)).ranked.map(({ index }) => index);
const png = Uint8Array.from([
  0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 5, 0, 0, 0, 5,
]);

describe('documents', () => {
  const documents = ['the red boat', 'a big dog', 'a big cat', 'a big dog'];

  test('come in the order of the words that they share with the query, equal ones as they were sent', async () => {
    expect(await order({ query: 'a big dog', documents })).toEqual([1, 3, 2, 0]);
    expect(await order({ query: { text: 'a big cat' }, documents, topN: 1 })).toEqual([2]);
  });

  test('are as many as were asked for, the best ones', async () => {
    expect(await order({ query: 'a big dog', documents, topN: 2 })).toEqual([1, 3]);
    expect(await order({ query: 'a big dog', documents, topN: 100 })).toHaveLength(4);
  });

  test('have their cosine and the probability that the manifest makes of it', async () => {
    const { ranked } = await rerank(model, notingEngines(), { query: 'a big dog', documents });
    expect(ranked[0]?.score).toBeCloseTo(1, 5);
    // scale 2, bias -1
    for (const { score, relevance } of ranked) expect(relevance).toBeCloseTo(1 / (1 + Math.exp(1 - 2 * score)), 10);
  });

  test('of two modalities are ordered by probability, not by cosine', async () => {
    const [text_text, text_image] = [
      { scale: 2, bias: -9 },
      { scale: 2, bias: 9 },
    ];
    const calibration = { text_text, text_image, image_image: text_image };
    const biased = { ...model, manifest: { ...model.manifest, calibration } };
    const { ranked } = await rerank(biased, notingEngines(), { query: 'a dog', documents: ['a dog', { image: png }] });
    expect(ranked.map(({ index }) => index)).toEqual([1, 0]);
    expect(ranked[1]?.score).toBeGreaterThan(ranked[0]?.score ?? 1);
  });
});

test('a request takes one permit, and its receipts say what was read', async () => {
  const engines = notingEngines();
  const long = 'word '.repeat(50);
  const { usage, ranked, truncation } = await rerank(model, engines, { query: long, documents: ['a dog', long] });
  expect(engines.permits).toEqual([usage.total_tokens]);
  expect([truncation?.truncated, ranked.map((hit) => [hit.index, hit.truncation?.truncated])]).toEqual([
    true,
    [
      [1, true],
      [0, false],
    ],
  ]);
});

test.each([
  ['an empty query', { query: ' ', documents: ['a dog'] }, { code: 'empty_input', details: { param: 'query' } }],
  ['no documents', { query: 'a dog', documents: [] }, { code: 'empty_input', details: { param: 'documents' } }],
  [
    'an empty document',
    { query: 'a dog', documents: ['a cat', ''], field: 'texts' },
    { code: 'empty_input', details: { param: 'texts.1', item: 1 } },
  ],
  [
    'an image too many, that of the query',
    { query: { image: png }, documents: Array.from({ length: 32 }, () => ({ image: png })) },
    { code: 'too_many_items', message: expect.stringMatching(/^query and documents together .* 32 images.* 33 were/) },
  ],
  [
    'a long document that may not be cut',
    { query: 'a dog', documents: ['word '.repeat(50)], truncate: 'none' as const },
    { code: 'text_too_long', details: { param: 'documents.0', item: 0 } },
  ],
])('%s is refused by name', async (_, asked, refusal) => {
  await expect(rerank(model, notingEngines(), asked)).rejects.toMatchObject(refusal);
});
