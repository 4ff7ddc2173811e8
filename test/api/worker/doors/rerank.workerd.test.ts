// POST /v1/rerank as clients of Cohere, Jina and Voyage use it, and POST /v2/rerank.
import { describe, expect, test } from 'vitest';
import { CohereError, OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import {
  CohereRerankResponse,
  RerankResponse,
  VoyageRerankResponse,
} from '../../../../contracts/src/api/doors/rerank.ts';

import { SimilarityResponse } from '../../../../contracts/src/api/similarity.ts';
import { encodedFile } from '../../../support/encode-results.ts';
import { appOf, CONTEXT, STATIC, tableModel } from '../table-model.ts';

const gif = `data:image/gif;base64,${btoa('GIF89a\x05\0\x05\0')}`;
const { post } = appOf(await tableModel(), {
  images: async (files, { embedDim }) =>
    files.map(() => encodedFile(Float32Array.from({ length: embedDim }, (_, i) => +(i === 0)))),
});
const ask = async (path: string, body: object) => (await post(path, { model: STATIC, ...body })).json();
const first = async (body: object) => RerankResponse.parse(await ask('/v1/rerank', body));
const voyage = async (body: object) => VoyageRerankResponse.parse(await ask('/v1/rerank', body));
const second = async (body: object) => CohereRerankResponse.parse(await ask('/v2/rerank', body));

const query = 'a dog';
const documents = ['the red boat', 'a dog', 'a cat', 'a dog'];
/** What /similarity says of the same texts, the best first. */
const expected = async (texts = documents) => {
  const response = await post('/similarity', { model: STATIC, a: query, b: texts, mode: 'top_k', top_k: 100 });
  const answer = SimilarityResponse.parse(await response.json());
  if (answer.mode !== 'top_k') throw new Error('not the mode that was asked for');
  return answer.results[0]?.map(({ index, calibrated }) => ({ index, relevance_score: calibrated }));
};

describe('every form', () => {
  test('has the order and the calibrated scores of /similarity', async () => {
    const hits = await expected();
    expect(hits?.slice(0, 2).map(({ index }) => index)).toEqual([1, 3]);
    const plain = ({ index, relevance_score }: { index: number; relevance_score: number }) => ({
      index,
      relevance_score,
    });
    expect((await second({ query, documents })).results.map(plain)).toEqual(hits);
    const { results, data } = await first({ query, documents });
    expect([results.map(plain), data.map(plain)]).toEqual([hits, hits]);
    expect((await voyage({ query, documents, truncation: true })).data.map(plain)).toEqual(hits);
  });

  test('answers as many as are asked for', async () => {
    expect((await second({ query, documents, top_n: 2 })).results).toHaveLength(2);
    expect((await first({ query, documents, top_n: 1 })).results).toHaveLength(1);
    expect((await voyage({ query, documents, top_k: 3 })).data).toHaveLength(3);
  });

  test('takes an image as the query and as a document', async () => {
    const answer = await first({ query: { image: gif }, documents: ['a dog', { image: gif }], return_documents: true });
    expect(answer.results.map(({ index }) => index)).toContain(1);
    expect(answer.results.find(({ index }) => index === 1)?.document).toEqual({ image: gif });
    expect(answer.meta.billed_units.images).toBe(2);
  });
});

describe("Voyage's form", () => {
  test('is that of a body with null as its top_k', async () => {
    const answer = await voyage({ query, documents, top_k: null, truncation: true });
    expect(answer).toMatchObject({ object: 'list', model: STATIC, usage: { total_tokens: expect.any(Number) } });
    expect(answer.data[0]).not.toHaveProperty('document');
  });

  test('holds documents as strings', async () => {
    const { data } = await voyage({ query, documents, top_k: 1, return_documents: true });
    expect(data[0]).toMatchObject({ index: 1, document: 'a dog' });
  });

  test('is refused with truncation false where a text is too long', async () => {
    const json = await ask('/v1/rerank', { query, documents: ['dog '.repeat(20)], truncation: false });
    expect(OpenAiError.parse(json)).toMatchObject({ code: 'text_too_long', error: { param: 'documents.0' } });
  });
});

describe("Cohere's and Jina's form", () => {
  test('holds documents as objects with a text', async () => {
    const { results } = await first({
      query,
      documents: ['a dog', { text: 'a cat', id: '7' }],
      return_documents: true,
    });
    expect(results.map(({ document }) => document)).toEqual([{ text: 'a dog' }, { text: 'a cat', id: '7' }]);
  });

  test('is that of the second version too, where it asks for documents as litellm does', async () => {
    const { results } = await second({ query, documents, top_n: 1, return_documents: true });
    expect(results).toMatchObject([{ index: 1, document: { text: 'a dog' } }]);
  });

  test('reads the fields of rank_fields, in their order', async () => {
    const { results } = await first({
      query,
      documents: [{ title: 'a boat', text: 'a dog' }, { title: 'a dog' }, { body: 'dog', title: 'a' }],
      rank_fields: ['title', 'body'],
    });
    const hits = await expected(['a boat', 'a dog', 'a\ndog']);
    expect(results.map(({ index, relevance_score }) => ({ index, relevance_score }))).toEqual(hits);
  });

  test('reads a field once, however often rank_fields names it, and by those that a document has', async () => {
    const documents = Array.from({ length: 1000 }, () => ({ title: 'a dog' }));
    const names = Array.from({ length: 50_000 }, (_, at) => `field ${at}`);
    const started = Date.now();
    const { results } = await first({ query, documents, rank_fields: [...names, 'title', 'title', ...names] });
    // Looked up one by one for each document they take 25 seconds.
    expect(Date.now() - started).toBeLessThan(4000);
    expect(results[999]?.relevance_score).toBe((await expected(['a dog']))?.[0]?.relevance_score);
  });

  test('says what was cut, at the document and in a sentence', async () => {
    const long = 'dog '.repeat(20);
    const { results, meta } = await first({ query: long, documents: ['a cat', long] });
    expect(results.find(({ index }) => index === 1)?.truncation).toMatchObject({
      truncated: true,
      tokens_seen: CONTEXT,
    });
    expect(meta.warnings?.map((sentence) => sentence.split(':')[0])).toEqual(['query', 'documents.1']);
  });

  test('reads as many tokens of a document as max_tokens_per_doc says, and the whole query', async () => {
    const { results, meta } = await second({ query: 'dog cat', documents: ['dog cat', 'dog'], max_tokens_per_doc: 1 });
    // Both documents are the first word now.
    expect(results[0]?.relevance_score).toBe(results[1]?.relevance_score);
    expect(meta.warnings).toEqual(['documents.0: 1 of 2 tokens were read. It was cut at character 3.']);
  });
});

describe('refusals', () => {
  test.each([
    ['no query', { documents }, 'invalid_request', 'query'],
    ['no documents', { query, documents: [] }, 'empty_input', 'documents'],
    ['an empty query', { query: ' ', documents }, 'empty_input', 'query'],
    ['an empty document', { query, documents: ['a', ''] }, 'empty_input', 'documents.1'],
    ['a document without a text', { query, documents: [{ title: 'a' }] }, 'invalid_request', 'documents.0'],
    ['both numbers', { query, documents, top_n: 1, top_k: 1 }, 'invalid_request', 'top_k'],
    ['a key that changes the answer', { query, documents, relevant_spans: {} }, 'unknown_key', 'relevant_spans'],
    [
      'fields that a document has from its prototype only',
      { query, documents: [{ text: 'a' }], rank_fields: ['constructor', '__proto__'] },
      'invalid_request',
      'documents.0',
    ],
  ])('%s', async (_, body, code, param) => {
    const json = await ask('/v1/rerank', body);
    const parsed = 'top_k' in body ? OpenAiError.parse(json) : CohereError.parse(json);
    expect([parsed.code, parsed.error.param]).toEqual([code, param]);
  });
});
