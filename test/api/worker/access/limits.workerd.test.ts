// A key with a quota asks for images as one without: good ones are answered, bad ones have their error in their place.
import { expect, test } from 'vitest';
import type { ImageEncoder, ImageOptions } from '../../../../api/core/embed.ts';
import { CoreError } from '../../../../api/core/errors.ts';
import { createKeyCache } from '../../../../api/worker/access/key-cache.ts';
import { createLimits } from '../../../../api/worker/access/limits.ts';
import { type Access, createAccess } from '../../../../api/worker/middleware/access.ts';
import { PartialEmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { LimitsReport } from '../../../../contracts/src/api/limits.ts';
import { keyNamespace, type TestNamespace } from '../key-namespace.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

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

/** Keys of the namespace are let in and counted, and each has used nothing. */
function countedAccess(namespace: TestNamespace): Access {
  const allowance = { limit: 100, used: 0, resetMs: 1000 };
  const counter = {
    reserve: async () => ({ isAllowed: true, requests: allowance, tokens: allowance, images: { ...allowance } }),
    settle: async () => {},
  };
  const limits = createLimits({ counterOf: () => counter, background: () => {} });
  return createAccess({ policy: { who: 'keys' }, keys: createKeyCache(namespace), limits });
}
