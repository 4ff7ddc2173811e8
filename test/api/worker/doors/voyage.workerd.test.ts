// Bodies of Voyage's clients on POST /v1/embeddings and /v1/multimodalembeddings.
import { describe, expect, test } from 'vitest';
import { OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import { VoyageEmbeddings, VoyageMultimodalEmbeddings } from '../../../../contracts/src/api/doors/voyage.ts';
import { EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { encodedFile } from '../../../support/encode-results.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const picture = `data:image/gif;base64,${btoa('GIF89a\x05\0\x07\0')}`;
const { post } = appOf(await tableModel(), {
  images: async (files, { embedDim }) =>
    files.map(() => encodedFile(Float32Array.from({ length: embedDim }, (_, i) => +(i === 0)))),
});
const send = async (path: string, body: object) =>
  (await post(path, { model: STATIC, ...body })).json() as Promise<unknown>;
const ask = (body: object) => send('/v1/embeddings', body);
const askMultimodal = (inputs: object[], options: object = {}) =>
  send('/v1/multimodalembeddings', { inputs, ...options });
const own = async (item: unknown, options: object = {}) =>
  EmbedResponse.parse(await send('/embed', { input: [item], ...options })).data[0]?.embedding;
const bytesOf = (base64: unknown) => Uint8Array.from(atob(String(base64)), (char) => char.charCodeAt(0));
const text = (value: string) => ({ type: 'text', text: value });
const image = { type: 'image_base64', image_base64: picture };

describe('texts', () => {
  /** What voyageai for Python sends where its user sets nothing. */
  const NULLS = { input_type: null, truncation: true, output_dtype: null, output_dimension: null };

  test('base64 of float32 where no type is asked for', async () => {
    const answer = VoyageEmbeddings.parse(await ask({ input: ['a dog'], ...NULLS, encoding_format: 'base64' }));
    expect(answer.data[0]?.embedding).toBe(await own('a dog', { types: ['base64'] }));
    expect(Object.keys(answer.usage)).toEqual(['total_tokens']);
  });

  test.each([
    ['int8', Int8Array, 16],
    ['uint8', Uint8Array, 16],
    ['binary', Int8Array, 2],
    ['ubinary', Uint8Array, 2],
  ] as const)('base64 of %s is that type, byte for byte', async (output_dtype, array, length) => {
    const written = await own('a dog', { types: [output_dtype] });
    const plain = VoyageEmbeddings.parse(await ask({ input: 'a dog', output_dtype }));
    expect(plain.data[0]?.embedding).toEqual(written);
    const { data } = VoyageEmbeddings.parse(await ask({ input: 'a dog', output_dtype, encoding_format: 'base64' }));
    const numbers = Array.from(new array(bytesOf(data[0]?.embedding).buffer));
    expect(numbers).toEqual(written);
    expect(numbers).toHaveLength(length);
  });

  test('fewer dimensions', async () => {
    const { data } = VoyageEmbeddings.parse(await ask({ input: 'a dog', output_dimension: 8, input_type: 'query' }));
    expect(data[0]?.embedding).toEqual(await own('a dog', { dimensions: 8 }));
  });

  test.each([
    [{ input: 'dog '.repeat(100), truncation: false }, 'input'],
    [{ input: ['a dog', ''], input_type: 'query' }, 'input.1'],
    [{ input: 'a dog', output_dtype: 'float16' }, 'output_dtype'],
    [{ input: 'a dog', output_dimension: 0 }, 'output_dimension'],
  ])('%j is refused', async (body, param) => {
    expect(OpenAiError.parse(await ask(body)).error.param).toBe(param);
  });
});

describe('texts and images', () => {
  test('one vector per input, fused where it has several parts, and what it took', async () => {
    const { data, usage } = VoyageMultimodalEmbeddings.parse(
      await askMultimodal([{ content: [text('a dog'), image] }, { content: [text('a cat')] }, { content: [image] }]),
    );
    expect(data.map(({ modality }) => modality)).toEqual(['mixed', 'text', 'image']);
    const fused = await own({ content: [{ text: 'a dog' }, { image: picture }] });
    expect(data.map(({ embedding }) => embedding)).toEqual([fused, await own('a cat'), await own({ image: picture })]);
    expect(usage.image_pixels).toBe(2 * 5 * 7);
    expect(usage.video_pixels).toBe(0);
    expect(usage.total_tokens).toBe(usage.text_tokens);
  });

  test('a data URI as image_url, and base64 in either spelling', async () => {
    const inputs = [{ content: [{ type: 'image_url', image_url: picture }] }];
    const written = await own({ image: picture }, { types: ['base64'] });
    for (const options of [{ encoding_format: 'base64' }, { output_encoding: 'base64' }]) {
      const { data } = VoyageMultimodalEmbeddings.parse(await askMultimodal(inputs, options));
      expect(data[0]?.embedding).toBe(written);
    }
  });

  test.each([
    ['a link', { content: [{ type: 'image_url', image_url: 'https://example.com/dog.jpg' }] }, 'inputs.1'],
    ['a video', { content: [{ type: 'video_base64', video_base64: picture }] }, 'inputs.1'],
    ['no content', { content: [] }, 'inputs.1'],
  ])('%s is refused with its place', async (_, input, place) => {
    const { error } = OpenAiError.parse(await askMultimodal([{ content: [text('a dog')] }, input]));
    expect(error.param).toMatch(new RegExp(`^${place.replace('.', '\\.')}`));
  });
});
