// Bodies of Jina's and Mixedbread's clients on POST /v1/embeddings.
import { describe, expect, test } from 'vitest';
import { OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import { JinaEmbeddings } from '../../../../contracts/src/api/doors/jina.ts';
import { MixedbreadEmbeddings } from '../../../../contracts/src/api/doors/mixedbread.ts';
import { EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { encodedFile } from '../../../support/encode-results.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const picture = btoa('GIF89a\x05\0\x05\0');
const { post } = appOf(await tableModel(), {
  images: async (files, { embedDim }) =>
    files.map(() => encodedFile(Float32Array.from({ length: embedDim }, (_, i) => +(i === 0)))),
});
const ask = async (body: object, path = '/v1/embeddings') =>
  (await post(path, { model: STATIC, ...body })).json() as Promise<unknown>;
/** What the own interface writes of a text. */
const own = async (text: string, type: string, dimensions?: number) => {
  const answer = await ask({ input: text, types: [type], ...(dimensions ? { dimensions } : {}) }, '/embed');
  return EmbedResponse.parse(answer).data[0]?.embedding;
};
const LONG = 'dog '.repeat(100);

describe("Jina's body", () => {
  test('as jina-ai-provider sends it', async () => {
    const body = { input: ['a dog', 'a cat'], normalized: true, truncate: false };
    const { data, usage } = JinaEmbeddings.parse(await ask(body));
    expect(data.map(({ embedding }) => embedding)).toEqual([await own('a dog', 'float'), await own('a cat', 'float')]);
    expect(usage.total_tokens).toBeGreaterThan(1);
  });

  test('texts and images in one list, in every spelling of an image', async () => {
    const input = [
      { text: 'a dog' },
      { image: picture },
      { image: `data:image/gif;base64,${picture}` },
      { bytes: picture },
      { url: `data:image/gif;base64,${picture}` },
    ];
    const { data } = JinaEmbeddings.parse(await ask({ input, task: 'retrieval.query' }));
    expect(data.map(({ modality }) => modality)).toEqual(['text', 'image', 'image', 'image', 'image']);
    expect(data[0]?.embedding).toEqual(await own('a dog', 'float'));
  });

  test('one type is the vector, several are an object by type', async () => {
    const input = 'a dog';
    const one = JinaEmbeddings.parse(await ask({ input, embedding_type: 'ubinary', dimensions: 8 }));
    expect(one.data[0]?.embedding).toEqual(await own(input, 'ubinary', 8));
    const two = JinaEmbeddings.parse(await ask({ input, embedding_type: ['float', 'base64', 'binary'] }));
    expect(two.data[0]?.embedding).toEqual({
      float: await own(input, 'float'),
      base64: await own(input, 'base64'),
      binary: await own(input, 'binary'),
    });
  });

  test.each([
    [{ input: 'a dog', late_chunking: true }, 'late_chunking'],
    [{ input: 'a dog', return_multivector: true }, 'return_multivector'],
    [{ input: 'a dog', normalized: false }, 'normalized'],
    [{ input: 'a dog', embedding_type: 'int4' }, 'embedding_type'],
    [{ input: [{ text: 'a dog' }, { image: 'https://example.com/dog.jpg' }], task: 'x' }, 'input.1'],
    [{ input: { url: 'https://example.com/dog.jpg' } }, 'input'],
    [{ input: ['a dog', LONG], truncate: false }, 'input.1'],
  ])('%j is refused', async (body, param) => {
    expect(OpenAiError.parse(await ask(body)).error.param).toBe(param);
  });

  test('a text that is too long is cut where nobody forbids it', async () => {
    const { data } = JinaEmbeddings.parse(await ask({ input: LONG, truncate: true }));
    expect(data[0]?.truncation).toMatchObject({ truncated: true });
  });
});

describe("Mixedbread's body", () => {
  test('several formats are an object by format, which is named', async () => {
    const body = { input: ['a dog'], encoding_format: ['float', 'int8', 'ubinary'], normalized: true, dimensions: 8 };
    const answer = MixedbreadEmbeddings.parse(await ask(body));
    expect(answer).toMatchObject({ normalized: true, encoding_format: body.encoding_format, dimensions: 8 });
    expect(answer.data[0]).toMatchObject({
      object: 'embedding_dict',
      embedding: {
        float: await own('a dog', 'float', 8),
        int8: await own('a dog', 'int8', 8),
        ubinary: await own('a dog', 'ubinary', 8),
      },
    });
  });

  test('one format is the vector', async () => {
    const { data } = MixedbreadEmbeddings.parse(await ask({ input: 'a dog', encoding_format: 'int8' }));
    expect(data[0]).toMatchObject({ object: 'embedding', embedding: await own('a dog', 'int8') });
  });

  test('a prompt would change the vectors and is refused', async () => {
    expect(OpenAiError.parse(await ask({ input: 'a dog', prompt: 'query: ' })).error.param).toBe('prompt');
  });
});
