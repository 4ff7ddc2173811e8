// A key with a quota asks as one without, for as long as there is something left of what the request needs.
import { describe, expect, test } from 'vitest';
import type { ImageEncoder, ImageOptions } from '../../../../api/core/embed.ts';
import { CoreError } from '../../../../api/core/errors.ts';
import { createKeyCache } from '../../../../api/worker/access/key-cache.ts';
import { createLimits } from '../../../../api/worker/access/limits.ts';
import { type Access, createAccess } from '../../../../api/worker/middleware/access.ts';
import { PartialEmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { LimitsReport } from '../../../../contracts/src/api/limits.ts';
import { keyNamespace, type TestNamespace } from '../key-namespace.ts';
import { appOf, DIMENSIONS, STATIC, tableModel } from '../table-model.ts';

test('on_error: partial holds with a quota, and the encoder is told the trace', async () => {
  const namespace = keyNamespace();
  const secret = await namespace.add();
  const access = countedAccess(namespace);
  const asked: (ImageOptions | undefined)[] = [];
  // As the client of the image encoder does: what fails is thrown, unless each file is to have its own error.
  const images: ImageEncoder = async (files, _, options) => {
    asked.push(options);
    const error = new CoreError('encoder_unavailable', 'The image encoder is away.');
    if (options?.onError !== 'partial') throw error;
    return files.map(() => error);
  };
  const { app } = appOf(await tableModel(), { access, images });
  const response = await app.request('/embed', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${secret}`, 'x-request-id': 'request-1' },
    body: JSON.stringify({
      model: STATIC,
      input: ['a dog', { image: btoa('GIF89a\x05\0\x05\0') }],
      on_error: 'partial',
    }),
  });
  const { data, failed } = PartialEmbedResponse.parse(await response.json());
  expect([data.map(({ object }) => object), failed]).toEqual([['embedding', 'error'], 1]);
  expect(asked[0]?.trace).toMatchObject({ 'x-request-id': 'request-1' });
});

test('GET /v1/limits says what the key that asks may ask for', async () => {
  const namespace = keyNamespace();
  const secret = await namespace.add({
    rate: { requests_per_minute: 7 },
    quota: { tokens_per_month: 1000, images_per_month: null },
  });
  const access = countedAccess(namespace);
  const { app } = appOf(await tableModel(), { access });
  const response = await app.request('/v1/limits', { headers: { authorization: `Bearer ${secret}` } });
  const { key } = LimitsReport.parse(await response.json());
  expect(key).toEqual({ requests_per_minute: 7, tokens_per_month: 1000, images_per_month: null });
  const open = appOf(await tableModel()).app;
  expect(LimitsReport.parse(await (await open.request('/v1/limits')).json()).key).toBeNull();
});

/** Of `tableModel`: the digest of nothing. */
const SPACE = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('a key that has used up', () => {
  const image = { image: btoa('GIF89a\x05\0\x05\0') };
  const vector = { embedding: [1, ...Array(DIMENSIONS - 1).fill(0)], space_id: SPACE };
  const text = 'a dog';
  const file = new FormData();
  file.set('purpose', 'batch');
  file.set('file', new Blob(['{"custom_id":"a","text":"a dog"}']), 'lines.jsonl');
  const asked: [what: string, path: string, body: object, needs: ('tokens' | 'images')[]][] = [
    ['an image', '/embed', { input: image }, ['images']],
    ['a text', '/embed', { input: text }, ['tokens']],
    ['a text and an image', '/embed', { input: [text, image] }, ['tokens', 'images']],
    ['an item of both', '/embed', { input: { content: [{ text }, image] } }, ['tokens', 'images']],
    ['the words of an image', '/classify', { input: image, labels: ['a dog', 'a cat'] }, ['tokens', 'images']],
    ['two images beside each other', '/similarity', { a: image, b: image }, ['images']],
    ['ready vectors', '/similarity', { a: vector, b: vector }, []],
    ['an answer in the form of OpenAI', '/v1/embeddings', { input: text, model: STATIC }, ['tokens']],
    ['the tokens of a text', '/tokenize', { input: text }, []],
    ['a file of lines', '/v1/files', file, []],
    ['a job of images', '/v1/jobs', { input: { items: [{ custom_id: 'a', ...image }] } }, ['images']],
    ['a job of texts', '/v1/jobs', { input: { items: [{ custom_id: 'a', text }] } }, ['tokens']],
  ];
  const cases = (['tokens', 'images'] as const).flatMap((spent) => asked.map((each) => [spent, ...each] as const));

  test.each(cases)('its %s is answered or refused for %s', async (spent, _, path, body, needs) => {
    const namespace = keyNamespace();
    const authorization = `Bearer ${await namespace.add({ scopes: ['embed', 'jobs'] })}`;
    const images: ImageEncoder = async (files) => {
      const [encoded] = [{ width: 5, height: 5, type: 'gif' as const, warnings: [] }];
      return files.map(() => ({ ...encoded, vector: Float32Array.from(vector.embedding) }));
    };
    const jobs = async () => Response.json({ id: 'anything' }, { status: 201 });
    const { app } = appOf(await tableModel(), { access: countedAccess(namespace, { [spent]: 100 }), images, jobs });
    const json = JSON.stringify(path.startsWith('/v1/') ? body : { ...body, model: STATIC });
    const response = await app.request(path, {
      method: 'POST',
      ...(body instanceof FormData
        ? { headers: { authorization }, body }
        : { headers: { authorization, 'content-type': 'application/json' }, body: json }),
    });
    const isRefused = needs.includes(spent);
    const said = await response.text();
    expect([response.status, said]).toEqual(
      isRefused ? [429, expect.stringMatching(`has used 100 of 100 ${spent}`)] : [expect.any(Number), said],
    );
    if (!isRefused) expect(response.status, said).toBeLessThan(300);
  });
});

test('a request with more images than a month has is not told to wait for the next one', async () => {
  const namespace = keyNamespace();
  const authorization = `Bearer ${await namespace.add()}`;
  const { app } = appOf(await tableModel(), { access: countedAccess(namespace, { images: 90 }, 20) });
  const ask = async (count: number) => {
    const input = Array.from({ length: count }, () => ({ image: btoa('GIF89a\x05\0\x05\0') }));
    const headers = { authorization, 'content-type': 'application/json' };
    const response = await app.request('/embed', {
      method: 'POST',
      headers,
      body: JSON.stringify({ model: STATIC, input }),
    });
    const { code, detail } = ErrorBody.parse(await response.json());
    return [response.status, code, response.headers.get('retry-after'), detail];
  };
  const waits = expect.stringMatching(/this request has 20\) of this month: the next begins/);
  expect(await ask(20)).toEqual([429, 'quota_exceeded', '1', waits]);
  const never = expect.stringMatching(/this request has 21\) of this month, and no month has as many: send fewer/);
  expect(await ask(21)).toEqual([429, 'quota_exceeded', null, never]);
});

/** Keys of the namespace are let in and counted; of what is not given each has used nothing. */
function countedAccess(namespace: TestNamespace, used: { tokens?: number; images?: number } = {}, limit = 100): Access {
  const allowance = { limit, used: 0, resetMs: 1000 };
  const { tokens = 0, images = 0 } = used;
  const counter = {
    reserve: async () => ({
      isAllowed: true,
      requests: allowance,
      tokens: { ...allowance, used: tokens },
      images: { ...allowance, used: images },
    }),
    settle: async () => {},
  };
  const limits = createLimits({ counterOf: () => counter, background: () => {} });
  return createAccess({ policy: { who: 'keys' }, keys: createKeyCache(namespace), limits });
}
