// A deployment with two image encoders, as its callers see it: who answered and why, and that one stands in for the other.
import { describe, expect, test } from 'vitest';
import { readFrame } from '../../../../api/core/images/frame.ts';
import { sha256 } from '../../../../api/registry/digest.ts';
import { createImageRouter } from '../../../../api/worker/images/router.ts';
import { EmbedResponse, PartialEmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { encodedImage } from '../../../support/encode-results.ts';
import { appOf, DIMENSIONS, STATIC, tableModel } from '../table-model.ts';

const CPU = 'http://cpu.invalid';
const GPU = 'http://gpu.invalid';
const source = await tableModel();
const { space_id } = (await source.manifest()) as { space_id: string };
const gif = (byte: number) =>
  new Blob([Uint8Array.from([...'GIF89a\x05\0\x05\0'].map((c) => c.charCodeAt(0)).concat(byte))]);
const unit = btoa('\0\0\x80\x3f'.concat('\0'.repeat(4 * (DIMENSIONS - 1))));

/** What each encoder answers: vectors, a status, or nothing until the caller gives up. */
type Behaviour = 'works' | 'stalls' | number;

function deployment(behaviours: Partial<Record<typeof CPU | typeof GPU, Behaviour>>, deadlineMs?: number) {
  const asked: { url: string; images: number }[] = [];
  const send = async (address: string, { body, signal }: RequestInit): Promise<Response> => {
    const url = new URL(address).origin;
    const { files } = readFrame(new Uint8Array(body as ArrayBuffer));
    asked.push({ url, images: files.length });
    const behaviour = behaviours[url as typeof CPU];
    if (behaviour === 'stalls')
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    if (behaviour !== 'works') return new Response('the platform', { status: behaviour ?? 404 });
    const results = await Promise.all(
      files.map(async (file) => encodedImage(unit, { digest: await sha256(file.slice()) })),
    );
    return Response.json({ space_id, results });
  };
  const urls = { lambda_cpu: CPU in behaviours ? CPU : undefined, lambda_gpu: GPU in behaviours ? GPU : undefined };
  const { app } = appOf(source, { images: createImageRouter(urls, { send, deadlineMs }).encode });
  let sent = 0;
  const embed = async (count: number, { prefer, partial = false }: { prefer?: string; partial?: boolean } = {}) => {
    const form = new FormData();
    for (let i = 0; i < count; i++) form.append('image', gif(sent++ % 256));
    form.append('model', STATIC);
    if (partial) form.append('on_error', 'partial');
    return app.request('/embed', { method: 'POST', body: form, headers: prefer === undefined ? {} : { prefer } });
  };
  return { embed, asked };
}

const BOTH = { [CPU]: 'works', [GPU]: 'works' } as const;

test.each([
  { count: 1, route: 'lambda_cpu', reason: 'small', applied: null },
  { count: 16, route: 'lambda_gpu', reason: 'large', applied: null },
  { count: 16, prefer: 'encoder=cpu', route: 'lambda_cpu', reason: 'asked', applied: 'encoder=cpu' },
  {
    count: 1,
    prefer: 'Encoder = "GPU", handling=lenient',
    route: 'lambda_gpu',
    reason: 'asked',
    applied: 'encoder=gpu',
  },
  { count: 1, prefer: 'respond-async', route: 'lambda_cpu', reason: 'no_jobs', applied: null },
  // Before any was measured, an image is taken to need half a second.
  { count: 3, prefer: 'wait=1', route: 'lambda_gpu', reason: 'deadline', applied: 'wait=1' },
])('$count images, Prefer: $prefer: $route, $reason', async ({ count, prefer, route, reason, applied }) => {
  const { embed, asked } = deployment(BOTH);
  const response = await embed(count, prefer === undefined ? {} : { prefer });
  const { routing, data } = EmbedResponse.parse(await response.json());
  expect(data).toHaveLength(count);
  expect(routing).toEqual({ route, reason });
  expect(response.headers.get('x-image-route')).toBe(`${route}; reason="${reason}"`);
  expect(response.headers.get('preference-applied')).toBe(applied);
  expect(new Set(asked.map(({ url }) => url))).toEqual(new Set([route === 'lambda_cpu' ? CPU : GPU]));
});

test('an answer without an image that was encoded says nothing of encoders', async () => {
  const { app } = appOf(source, { images: createImageRouter({ lambda_cpu: CPU }).encode });
  const body = JSON.stringify({ input: 'a dog', model: STATIC });
  const response = await app.request('/embed', {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  });
  expect(await response.json()).not.toHaveProperty('routing');
  expect(response.headers.has('x-image-route')).toBe(false);
});

test.each([503, 429])('one that answers %i is stood in for by the other, in the same request', async (status) => {
  const { embed, asked } = deployment({ [CPU]: status, [GPU]: 'works' });
  const response = await embed(2);
  const { routing, data } = EmbedResponse.parse(await response.json());
  expect([data.length, routing]).toEqual([2, { route: 'lambda_gpu', reason: 'other_failed' }]);
  expect(asked.at(-1)).toEqual({ url: GPU, images: 2 });
});

test('with `partial`, too: no image keeps the error that only one encoder had', async () => {
  const { embed } = deployment({ [CPU]: 503, [GPU]: 'works' });
  const { failed, routing } = PartialEmbedResponse.parse(await (await embed(2, { partial: true })).json());
  expect([failed, routing]).toEqual([0, { route: 'lambda_gpu', reason: 'other_failed' }]);
});

test('one that failed five times in a row is passed over, without being asked', async () => {
  const { embed, asked } = deployment({ [CPU]: 503, [GPU]: 'works' });
  for (let times = 0; times < 5; times++) expect((await embed(1)).status).toBe(200);
  asked.length = 0;
  const { routing } = EmbedResponse.parse(await (await embed(1)).json());
  expect(routing).toEqual({ route: 'lambda_gpu', reason: 'other_pauses' });
  expect(asked).toEqual([{ url: GPU, images: 1 }]);
});

test('where both fail, the caller is told of the one that was chosen, and when to come back', async () => {
  const { embed } = deployment({ [CPU]: 503, [GPU]: 503 });
  const response = await embed(1);
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
});

test('a file that is not staged in time is told of as one that is not encoded in time', async () => {
  const put = (_digest: string, _file: Uint8Array, signal: AbortSignal) =>
    new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const { encode } = createImageRouter({ lambda_cpu: CPU }, { deadlineMs: 50, maxBytes: 4, uploads: { put } });
  const { app } = appOf(source, { images: encode });
  const form = new FormData();
  form.append('image', gif(0));
  form.append('model', STATIC);
  const response = await app.request('/embed', { method: 'POST', body: form });
  expect(response.status).toBe(504);
  expect(await response.text()).toContain('did not answer within 0.05 seconds');
});

test('who waits a second is answered after a second', async () => {
  const { embed } = deployment({ [CPU]: 'stalls' });
  const started = Date.now();
  const response = await embed(1, { prefer: 'wait=1' });
  expect(response.status).toBe(504);
  expect(await response.text()).toContain('within 1 seconds');
  expect(Date.now() - started).toBeLessThan(5000);
});

describe('an encoder that answered nobody five times', () => {
  test.each([false, true])(
    'is asked again by others where its callers waited for less than it is given',
    async (partial) => {
      const behaviours: Parameters<typeof deployment>[0] = { [CPU]: 'stalls' };
      const { embed } = deployment(behaviours);
      const impatient = await Promise.all(Array.from({ length: 5 }, () => embed(1, { prefer: 'wait=1', partial })));
      for (const response of impatient) expect(await response.text()).toContain('encoder_timeout');
      behaviours[CPU] = 'works';
      expect((await embed(1)).status).toBe(200);
    },
  );

  test('is given a pause where it had all of its time', async () => {
    const behaviours: Parameters<typeof deployment>[0] = { [CPU]: 'stalls' };
    const { embed } = deployment(behaviours, 100);
    for (const response of await Promise.all(Array.from({ length: 5 }, () => embed(1))))
      expect(response.status).toBe(504);
    behaviours[CPU] = 'works';
    expect(await (await embed(1)).text()).toContain('it failed several times in a row');
  });
});
