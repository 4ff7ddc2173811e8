// The vector cache through /embed: what was computed once is not computed again, by whoever asks and whenever.
import { expect, test } from 'vitest';
import type { ImageEncoder } from '../../../../api/core/embed.ts';
import { createEdgeStore, type PlatformCache } from '../../../../api/worker/cache/edge.ts';
import { createMemoryStore } from '../../../../api/worker/cache/memory.ts';
import { createVectorCache } from '../../../../api/worker/cache/vector-cache.ts';
import type { Admission } from '../../../../api/worker/middleware/admission.ts';
import { EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const source = await tableModel();
const gif = (mark: number) => btoa(`GIF89a\x05\0\x05\0${String.fromCharCode(mark)}`);
const BATCH = ['a dog', 'a cat', { image: gif(1) }];

function serve(cache = createVectorCache({ memory: createMemoryStore(1 << 20) }), delayMs = 0) {
  /** Tokens of every piece of work, and files of every call. */
  const work: number[] = [];
  const files: number[] = [];
  const admit: ReturnType<Admission> = async ({ size }, run) => {
    work.push(size);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    return run();
  };
  const admission: Admission = Object.assign(() => admit, { checkRoom() {} });
  const images: ImageEncoder = async (sent, { embedDim }) => {
    files.push(sent.length);
    return sent.map((file) => ({
      vector: Float32Array.from({ length: embedDim }, (_, i) => (i === (file.at(-1) ?? 0) ? 1 : 0)),
      width: 5,
      height: 5,
      type: 'gif' as const,
      warnings: ['ein Rand fehlt: ä'],
    }));
  };
  const { app } = appOf(source, { cache, admission, images });
  const embed = async (input: unknown, headers: Record<string, string> = {}) => {
    const response = await app.request('/embed', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: STATIC, input }),
    });
    const { data, usage } = EmbedResponse.parse(await response.json());
    return {
      told: response.headers.get('x-cache'),
      vectors: data.map(({ embedding, picture }) => ({ embedding, picture })),
      usage,
    };
  };
  return { embed, work, files };
}

test('a request that came before is not computed, one that came in part is in part', async () => {
  const { embed, work, files } = serve();
  const first = await embed(BATCH);
  const again = await embed(BATCH);
  const more = await embed([...BATCH, 'a boat']);
  expect([first.told, again.told, more.told]).toEqual(['miss', 'hit', 'partial']);
  expect([first.usage.cached, again.usage.cached, more.usage.cached]).toEqual([0, 3, 3]);
  expect(again.vectors).toEqual(first.vectors);
  expect(more.vectors.slice(0, 3)).toEqual(first.vectors);
  expect(again.usage.total_tokens).toBe(first.usage.total_tokens);
  expect(work).toHaveLength(2);
  expect(files).toEqual([1]);
});

test('equal items of one request are computed once', async () => {
  const { embed, files } = serve();
  const { vectors } = await embed([{ image: gif(1) }, { image: gif(1) }, { image: gif(2) }]);
  expect(files).toEqual([2]);
  expect(vectors[0]).toEqual(vectors[1]);
  expect(vectors[0]).not.toEqual(vectors[2]);
});

test.each(['no-cache', 'no-store', 'max-age=0, no-store'])(
  'Cache-Control: %s computes and stores nothing',
  async (value) => {
    const { embed, work } = serve();
    expect((await embed('a dog', { 'cache-control': value })).told).toBeNull();
    expect((await embed('a dog')).told).toBe('miss');
    expect((await embed('a dog', { 'cache-control': value })).told).toBeNull();
    expect(work).toHaveLength(3);
  },
);

test('equal requests at the same time are computed once', async () => {
  const { embed, work } = serve(undefined, 50);
  const answers = await Promise.all(Array.from({ length: 8 }, () => embed('a dog')));
  expect(work).toHaveLength(1);
  expect(answers.map(({ told }) => told).sort()).toEqual([...Array(7).fill('hit'), 'miss']);
  expect(new Set(answers.map(({ vectors }) => JSON.stringify(vectors))).size).toBe(1);
});

test('requests that want some of each other`s items all end', async () => {
  const { embed } = serve(undefined, 20);
  const answers = await Promise.all([
    embed(['a dog', 'a cat']),
    embed(['a cat', 'a boat']),
    embed(['a boat', 'a dog']),
  ]);
  expect(answers.map(({ vectors }) => vectors.length)).toEqual([2, 2, 2]);
});

test('who waits for a request that died computes by itself', async () => {
  const cache = createVectorCache({ memory: createMemoryStore(1 << 20) });
  const unit = Float32Array.of(1, 0);
  // Dropped as it stands: its end is never reached.
  void cache.through(['k'], () => new Promise(() => {}), { forMs: 40 });
  await Promise.resolve();
  const { outcomes, stored } = await cache.through(['k'], async () => [{ vector: unit }], { forMs: 40 });
  expect(outcomes.get('k')).toEqual({ vector: unit });
  expect([...stored]).toEqual([]);
});

test('who waits for a request that failed computes by itself, and failures are not stored', async () => {
  const cache = createVectorCache({ memory: createMemoryStore(1 << 20) });
  const fails = cache.through(['k'], () => Promise.reject(new Error('broken')), { forMs: 10_000 });
  const waits = cache.through(['k'], async () => [{ vector: Float32Array.of(Number.NaN, 0) }], { forMs: 10_000 });
  await expect(fails).rejects.toThrow('broken');
  expect((await waits).outcomes.get('k')).toEqual({ vector: Float32Array.of(Number.NaN, 0) });
  const { stored } = await cache.through(['k'], async () => [{ vector: Float32Array.of(0, 1) }], { forMs: 10_000 });
  expect([...stored], 'what is no unit vector').toEqual([]);
});

test('memory stays within its bytes: what was not used for the longest time goes', () => {
  const vector = new Float32Array(64);
  const store = createMemoryStore(3 * (vector.byteLength + 256));
  for (const key of ['a', 'b', 'c']) store.put(key, { vector });
  store.get('a');
  store.put('d', { vector });
  expect(['a', 'b', 'c', 'd'].filter((key) => store.get(key))).toEqual(['a', 'c', 'd']);
  store.put('too large', { vector: new Float32Array(4096) });
  expect(store.get('too large')).toBeUndefined();
});

test('the platform`s cache is shared by isolates, bounded for each request, and may fail', async () => {
  const kept = new Map<string, { body: ArrayBuffer; headers: Headers }>();
  const lookUps: string[] = [];
  const platform: PlatformCache = {
    async match(address) {
      lookUps.push(address);
      const entry = kept.get(address);
      return entry && new Response(entry.body, { headers: entry.headers });
    },
    async put(address, response) {
      kept.set(address, { body: await response.arrayBuffer(), headers: response.headers });
    },
  };
  const writes: Promise<unknown>[] = [];
  const isolate = (cache: PlatformCache) =>
    serve(
      createVectorCache({
        memory: createMemoryStore(1 << 20),
        edge: createEdgeStore({ cache, background: (work) => void writes.push(work) }),
      }),
    );
  const first = await isolate(platform).embed(BATCH);
  await Promise.all(writes);
  const other = await isolate(platform).embed(BATCH);
  expect([first.told, other.told]).toEqual(['miss', 'hit']);
  expect(other.vectors).toEqual(first.vectors);

  lookUps.length = 0;
  await isolate(platform).embed(Array.from({ length: 100 }, (_, i) => `dog ${i}`));
  expect(lookUps.length).toBeLessThanOrEqual(16);

  const broken: PlatformCache = {
    match: () => Promise.reject(new Error('no cache')),
    put: () => Promise.reject(new Error('no cache')),
  };
  expect((await isolate(broken).embed(BATCH)).vectors).toEqual(first.vectors);
  await Promise.all(writes);
});
