// POST /v1/embeddings and GET /v1/models/ID as OpenAI's clients use them.
import { describe, expect, test } from 'vitest';
import { OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import { OpenAIEmbeddings } from '../../../../contracts/src/api/doors/openai.ts';
import { EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { ModelEntry, ModelList } from '../../../../contracts/src/api/models.ts';
import { encodedFile } from '../../../support/encode-results.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const picture = btoa('GIF89a\x05\0\x05\0');
const { app, post } = appOf(await tableModel(), {
  images: async (files, { embedDim }) =>
    files.map(() => encodedFile(Float32Array.from({ length: embedDim }, (_, i) => +(i === 0)))),
});
const ask = async (body: object, path = '/v1/embeddings') => {
  const response = await post(path, { model: STATIC, ...body });
  return { status: response.status, json: await response.json() };
};
const answered = async (body: object, path?: string) => OpenAIEmbeddings.parse((await ask(body, path)).json);
const refused = async (body: object) => {
  const { status, json } = await ask(body);
  const { type, param, message } = OpenAiError.parse(json).error;
  return { status, type, param, message };
};
/** The own interface's vectors of the same items. */
const vectors = async (input: unknown[], dimensions?: number) => {
  const response = await post('/embed', { model: STATIC, input, ...(dimensions ? { dimensions } : {}) });
  return EmbedResponse.parse(await response.json()).data.map(({ embedding }) => embedding as number[]);
};
const decoded = (base64: unknown): number[] => {
  const bytes = Uint8Array.from(atob(String(base64)), (char) => char.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
};

describe('embeddings', () => {
  test.each(['/v1/embeddings', '/embeddings'])('%s answers a list in the order of the input', async (path) => {
    const input = ['a dog', 'a cat', 'running', 'a dog'];
    const { data, usage } = await answered({ input }, path);
    expect(data.map(({ embedding }) => embedding)).toEqual(await vectors(input));
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(Object.keys(usage)).toEqual(['prompt_tokens', 'total_tokens']);
    expect(usage.prompt_tokens).toBeGreaterThanOrEqual(input.length);
  });

  test('base64 is little-endian float32 of the same vector, at any length', async () => {
    const { data } = await answered({ input: 'a dog', encoding_format: 'base64', dimensions: 8, user: 'someone' });
    expect(decoded(data[0]?.embedding)).toEqual((await vectors(['a dog'], 8))[0]?.map(Math.fround));
  });

  test('what a client leaves unset may come as null', async () => {
    const { data } = await answered({ input: 'a dog', dimensions: null, user: null, encoding_format: null });
    expect(data.map(({ embedding }) => embedding)).toEqual(await vectors(['a dog']));
  });

  test('what clients for Azure add to the address changes nothing', async () => {
    const { data } = await answered({ input: 'a dog' }, '/v1/embeddings?api-version=2024-10-21');
    expect(data.map(({ embedding }) => embedding)).toEqual(await vectors(['a dog']));
  });

  test('items with images are taken beside texts', async () => {
    const { data } = await answered({ input: ['a dog', { image: `data:image/gif;base64,${picture}` }] });
    expect(data.map(({ modality }) => modality)).toEqual(['text', 'image']);
  });

  test("Infinity's client says what the strings are, and 0 where it means the full length", async () => {
    const texts = { input: ['a dog'], modality: 'text', dimensions: 0, encoding_format: 'float' };
    expect((await answered(texts, '/embeddings')).data[0]?.embedding).toEqual((await vectors(['a dog']))[0]);
    const images = await answered({ input: [picture, `data:image/gif;base64,${picture}`], modality: 'image' });
    expect(images.data.map(({ modality }) => modality)).toEqual(['image', 'image']);
  });

  test('a text that was cut says so', async () => {
    const { data } = await answered({ input: 'dog '.repeat(100) });
    expect(data[0]?.truncation).toMatchObject({ truncated: true, tokens_total: 100 });
  });
});

describe('refusals name what was sent', () => {
  test.each([
    ['an empty text', { input: '' }, 'input'],
    ['no text', { input: [] }, 'input'],
    ['an empty text in a list', { input: ['a dog', ''] }, 'input.1'],
    ['a file that is no image', { input: { image: btoa('hello') } }, 'input'],
    ['no input', {}, 'input'],
    ['a format that is not there', { input: 'a dog', encoding_format: 'hex' }, 'encoding_format'],
    ['no dimension', { input: 'a dog', dimensions: 0 }, 'dimensions'],
    ['a model that is not here', { input: 'a dog', model: 'text-embedding-3-small' }, 'model'],
    ['a sound', { input: 'a dog', modality: 'audio' }, 'modality'],
    ['a key of nobody', { input: 'a dog', lang: 'en' }, 'lang'],
  ])('%s', async (_, body, param) => {
    expect(await refused(body)).toMatchObject({ type: 'invalid_request_error', param });
  });

  test('a dry run, which is the question of another interface: it would be answered and charged', async () => {
    const { status, json } = await ask({ input: 'a' }, '/v1/embeddings?dry_run=1');
    expect([status, OpenAiError.parse(json).error]).toMatchObject([400, { code: 'unknown_key', param: 'dry_run' }]);
  });

  test('the address of another base path: which one is meant', async () => {
    const { status, json } = await ask({ input: 'a' }, '/v1/embeddings/embeddings');
    expect(status).toBe(404);
    expect(OpenAiError.parse(json).error.message).toContain('Did you mean POST /v1/embeddings?');
  });

  test.each([[[101, 2003]], [[[101, 2003], [5]]]])('token ids %j: how to switch them off', async (input) => {
    const { status, param, message } = await refused({ input });
    expect([status, param]).toEqual([400, 'input']);
    expect(message).toContain('check_embedding_ctx_length=False');
  });
});

describe('models', () => {
  const get = async (path: string) => {
    const response = await app.request(path);
    return { status: response.status, json: await response.json() };
  };

  test.each(['/v1/models', '/models'])('%s/ID is the entry of the list', async (path) => {
    const { data } = ModelList.parse((await get(path)).json);
    for (const entry of data) expect(ModelEntry.parse((await get(`${path}/${entry.id}`)).json)).toEqual(entry);
  });

  test('one that is not here is refused with those that are', async () => {
    const { status, json } = await get('/v1/models/gpt');
    expect(status).toBe(404);
    expect(OpenAiError.parse(json).detail).toContain(STATIC);
  });
});
