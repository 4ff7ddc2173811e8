// POST /v2/embed and POST /v1/embed as Cohere's clients use them.
import { describe, expect, test } from 'vitest';
import { CohereEmbedResponse, CohereFloatsResponse } from '../../../../contracts/src/api/doors/cohere.ts';
import { CohereError } from '../../../../contracts/src/api/doors/errors.ts';
import { EmbeddingByType, EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { encodedFile } from '../../../support/encode-results.ts';
import { appOf, CONTEXT, STATIC, tableModel } from '../table-model.ts';

const gif = `data:image/gif;base64,${btoa('GIF89a\x05\0\x05\0')}`;
const { post } = appOf(await tableModel(), {
  images: async (files, { embedDim }) =>
    files.map(() => encodedFile(Float32Array.from({ length: embedDim }, (_, i) => +(i === 0)))),
});
const ask = async (path: string, body: object) => {
  const response = await post(path, { model: STATIC, ...body });
  return { status: response.status, type: response.headers.get('content-type'), json: await response.json() };
};
const embedded = async (body: object) => CohereEmbedResponse.parse((await ask('/v2/embed', body)).json);
const refused = async (body: object, path = '/v2/embed') => {
  const { status, json } = await ask(path, body);
  const { code, message, error } = CohereError.parse(json);
  return { status, code, message, param: error.param };
};
const own = async (body: object) => {
  const response = await post('/embed', { model: STATIC, ...body });
  return EmbedResponse.parse(await response.json()).data.map(({ embedding }) => embedding);
};

describe('the second version', () => {
  test('answers one vector per text in every type that is asked for, as /embed writes it', async () => {
    const types = ['float', 'int8', 'uint8', 'binary', 'ubinary', 'base64'] as const;
    const texts = ['a dog', 'a cat', 'a dog'];
    const { embeddings, ...rest } = await embedded({
      texts,
      input_type: 'search_document',
      embedding_types: types,
      output_dimension: 8,
      truncate: 'NONE',
      priority: 3,
    });
    const expected = (await own({ input: texts, types, dimensions: 8 })).map((each) => EmbeddingByType.parse(each));
    for (const type of types) expect(embeddings[type]).toEqual(expected.map((each) => each[type]));
    expect(rest).toMatchObject({ response_type: 'embeddings_by_type', texts, model: STATIC });
    expect(rest.meta).toEqual({ api_version: { version: '2' }, billed_units: { input_tokens: expect.any(Number) } });
  });

  test('answers floats where no type is asked for, and takes nulls for what is absent', async () => {
    const { embeddings } = await embedded({
      texts: ['a dog'],
      embedding_types: null,
      truncate: null,
      max_tokens: null,
    });
    expect(embeddings).toEqual({ float: await own({ input: ['a dog'] }) });
  });

  test('takes images', async () => {
    const { embeddings, texts, images, meta } = await embedded({ images: [gif, gif], input_type: 'image' });
    expect(embeddings.float).toEqual(await own({ input: [{ image: gif }, { image: gif }] }));
    expect([texts, meta.billed_units]).toEqual([[], { input_tokens: 0, images: 2 }]);
    expect(images).toEqual(Array(2).fill({ width: 5, height: 5, format: 'gif', bit_depth: 24 }));
    expect(await embedded({ texts: ['a dog'] })).not.toHaveProperty('images');
  });

  test('fuses the parts of an input: the mean of their unit vectors, at unit length', async () => {
    const inputs = [
      {
        content: [
          { type: 'text', text: 'a dog' },
          { type: 'image_url', image_url: { url: gif } },
        ],
      },
      { content: [{ type: 'text', text: 'a cat' }] },
    ];
    const { embeddings } = await embedded({ inputs });
    const [dog, cat, image] = (await own({ input: ['a dog', 'a cat', { image: gif }] })) as number[][];
    const sum = dog?.map((value, i) => value + (image?.[i] ?? 0)) ?? [];
    const fused = sum.map((value) => value / Math.hypot(...sum));
    expect(embeddings.float).toHaveLength(2);
    for (const [i, value] of fused.entries()) expect(embeddings.float?.[0]?.[i]).toBeCloseTo(value, 6);
    expect(embeddings.float?.[1]).toEqual(cat);
  });

  test('says which texts were cut, where and how much of them was read', async () => {
    const long = 'dog '.repeat(20);
    const { meta } = await embedded({
      inputs: [{ content: [{ type: 'text', text: 'a' }] }, { content: [{ type: 'text', text: long }] }],
    });
    // CONTEXT words of four characters; the last space is not read.
    expect(meta.warnings).toEqual([
      `inputs.1: ${CONTEXT} of 20 tokens were read. It was cut at character ${CONTEXT * 4 - 1}.`,
    ]);
    const start = await embedded({ texts: [long], truncate: 'START' });
    expect(start.meta.warnings).toEqual([
      `texts.0: ${CONTEXT} of 20 tokens were read. It was cut at character ${(20 - CONTEXT) * 4}.`,
    ]);
  });

  test('reads as many tokens of a text as max_tokens says', async () => {
    const { embeddings, meta } = await embedded({ texts: ['dog cat running'], max_tokens: 1 });
    expect(embeddings.float).toEqual(await own({ input: ['dog'] }));
    expect(meta.warnings).toEqual(['texts.0: 1 of 3 tokens were read. It was cut at character 3.']);
    const last = await embedded({ texts: ['dog cat running'], max_tokens: 1, truncate: 'START' });
    expect(last.embeddings.float).toEqual(await own({ input: ['running'] }));
    expect(await refused({ texts: ['dog cat running'], max_tokens: 1, truncate: 'NONE' })).toMatchObject({
      code: 'text_too_long',
      message: expect.stringMatching(/3 tokens.*\b1\b/),
    });
  });
});

describe('the first version', () => {
  const floats = async (body: object) => CohereFloatsResponse.parse((await ask('/v1/embed', body)).json);

  test('answers a bare list where no types are asked for', async () => {
    const { embeddings, texts, meta, response_type } = await floats({ texts: ['a dog', 'a cat'], truncate: null });
    expect(embeddings).toEqual(await own({ input: ['a dog', 'a cat'] }));
    expect([texts, response_type]).toEqual([['a dog', 'a cat'], 'embeddings_floats']);
    expect(meta.api_version).toEqual({ version: '1' });
  });

  test('answers by type where types are asked for', async () => {
    const { json } = await ask('/v1/embed', { texts: ['a dog'], embedding_types: ['ubinary'] });
    expect(CohereEmbedResponse.parse(json).embeddings).toEqual({
      ubinary: await own({ input: ['a dog'], types: ['ubinary'] }),
    });
  });
});

describe('refusals', () => {
  test('have the members that clients of Cohere show, beside ours', async () => {
    const { status, type, json } = await ask('/v2/embed', { texts: [' '] });
    expect([status, type]).toEqual([400, 'application/problem+json']);
    const { message, id, detail, request_id } = CohereError.parse(json);
    expect([message, id]).toEqual([detail, request_id]);
  });

  test.each([
    ['nothing to embed', {}, 'invalid_request', /one of texts, images, inputs; none/],
    ['two lists', { texts: ['a'], images: [gif] }, 'invalid_request', /texts and images were sent/],
    ['an empty list', { texts: [] }, 'empty_input', /texts is an empty list/],
    ['an empty text', { texts: ['a', ' '] }, 'empty_input', /1 holds nothing to read/],
    ['a link', { images: ['https://example.com/dog.jpg'] }, 'not_an_image', /links are not fetched/i],
    ['an unknown type', { texts: ['a'], embedding_types: ['int4'] }, 'unsupported_type', /int4/],
    ['a length that there is not', { texts: ['a'], output_dimension: 1024 }, 'invalid_dimensions', /1024/],
    ['a key that is not known', { input: ['a'] }, 'unknown_key', /input/],
    ['a model that there is not', { texts: ['a'], model: 'embed-v4.0' }, 'model_not_found', /embed-v4\.0/],
  ])('%s', async (_, body, code, message) => {
    expect(await refused(body)).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('name the text and the part', async () => {
    expect(await refused({ texts: ['a', ' '] })).toMatchObject({ param: 'texts.1' });
    const content = [
      { type: 'text', text: 'a' },
      { type: 'image_url', image_url: { url: gif.slice(0, 30) } },
    ];
    expect(await refused({ inputs: [{ content }] })).toMatchObject({ param: 'inputs.0.content.1' });
    expect(await refused({ texts: ['a', 7] }, '/v1/embed')).toMatchObject({ code: 'wrong_type', param: 'texts.1' });
    expect(await refused({ texts: ['a'], output_dimension: 1024 })).toMatchObject({ param: 'output_dimension' });
  });
});
