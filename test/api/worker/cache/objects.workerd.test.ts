// A followed model in the platform's cache: read from the bucket by one isolate, from the cache by the next, and never believed unseen.
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, test } from 'vitest';
import { readByDigest, registrySource } from '../../../../api/registry/read.ts';
import { openR2Reader } from '../../../../api/registry/stores/r2.ts';
import type { TextEngine } from '../../../../api/text/engine.ts';
import type { PlatformCache } from '../../../../api/worker/cache/edge.ts';
import { createObjectCache, createProofs } from '../../../../api/worker/cache/objects.ts';
import { providePublishedModel } from '../../../../api/worker/model-provider.ts';
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../../../contracts/src/keys.ts';
import type { Artefact } from '../../../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import { DIMENSIONS, tableModel } from '../table-model.ts';

const bucket = (env as { MODELS: R2Bucket }).MODELS;
const NAME = 'table';
const bytesOf = (document: unknown) => new Uint8Array(new TextEncoder().encode(JSON.stringify(document)));
const hexOf = async (bytes: BufferSource) =>
  Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');

async function putByDigest(key: (digest: string) => string, document: object): Promise<string> {
  const digest = `sha256:${await hexOf(bytesOf(document))}`;
  await bucket.put(key(digest), bytesOf(document));
  return digest;
}

let version = 0;
let work: Promise<unknown>[];
let table: Artefact;
let vocabulary: Artefact;

/** Every test publishes another model, so that no test finds what another one left in the cache. */
beforeEach(async () => {
  work = [];
  await publish();
  for (const file of [table, vocabulary]) await caches.default.delete(addressOf(file));
});

/** `changes` of the table model's manifest. */
async function publish(changes: object = {}): Promise<void> {
  const source = await tableModel({ changes: { version: `published ${++version}`, ...changes } });
  const document = ModelManifest.parse(await source.manifest());
  const { text, static: fast } = document;
  if (!fast) throw new Error('the table model has a static tier');
  [table, vocabulary] = [fast.table.file, text.tokenizer.vocabulary];
  for (const file of [text.tokenizer.vocabulary, text.graph.file, table])
    await bucket.put(artefactKey(file.digest), await source.read(file));
  const manifest = await putByDigest(manifestKey, document);
  const moved_at = '2026-01-01T00:00:00Z';
  const move = { name: NAME, action: 'publish', reasons: [], metrics: {}, dev_data: null, previous: null };
  const release = await putByDigest(releaseKey, { ...move, manifest, moved_at });
  await bucket.put(currentKey(NAME), bytesOf({ name: NAME, manifest, release, moved_at }));
}

/** The bucket's reader with the cache before it, and the keys that were asked of the bucket. */
function reader(cache: PlatformCache = caches.default) {
  const asked: string[] = [];
  const counted = {
    get: (key: string) => {
      asked.push(key);
      return bucket.get(key);
    },
  };
  const near = createObjectCache({ cache, background: (promise) => void work.push(promise) });
  return { registry: { ...openR2Reader(counted), near }, near, asked };
}

const addressOf = ({ digest }: Artefact) => `https://registry.invalid/${artefactKey(digest)}`;

async function copyOf(file: Artefact): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const response = await caches.default.match(addressOf(file));
  return response && new Uint8Array(await response.arrayBuffer());
}

interface Isolate {
  /** What it asked of the bucket until it answered. */
  asked: string[];
  /** Of the model that it answered with. */
  version: string;
  /** Students that it opened. */
  opened: number;
}

/** `deployment`: which deployment's; absent: it leaves no proofs and believes none. */
async function isolate({ cache, deployment }: { cache?: PlatformCache; deployment?: string } = {}): Promise<Isolate> {
  const { registry, near, asked } = reader(cache);
  let opened = 0;
  const engine: TextEngine = {
    async open(text, read) {
      opened += 1;
      for (const file of [text.table.file, text.graph.file]) await read(file);
      const encode = () => Promise.reject(new Error('there is no graph'));
      return { encode, close: async () => {}, memoryBytes: () => 0 };
    },
  };
  const embedded = await tableModel();
  const provider = providePublishedModel({
    embedded: { source: embedded, digest: async () => `sha256:${'0'.repeat(64)}` },
    registry,
    seconds: 60,
    engine,
    background: (promise) => void work.push(promise),
    proofs: deployment === undefined ? undefined : createProofs(near, deployment),
    probeImages: async () => {},
    log: () => {},
  });
  const answered = await provider.use(async ({ manifest }) => manifest.version);
  await Promise.all(work);
  return { asked, version: answered, opened };
}

test('one isolate reads it from the bucket, and the next asks the bucket for the pointer alone', async () => {
  const first = await isolate();
  expect(first.version).toBe(`published ${version}`);
  expect(first.asked).toEqual(expect.arrayContaining([currentKey(NAME), artefactKey(table.digest)]));
  const second = await isolate();
  expect(second).toEqual({ version: `published ${version}`, asked: [currentKey(NAME)], opened: 1 });
});

test('a copy that is not what its key says is replaced by what the bucket has', async () => {
  await isolate();
  const copy = await copyOf(table);
  if (!copy) throw new Error('there is no copy to damage');
  copy[7] = (copy[7] ?? 0) ^ 1;
  await caches.default.put(addressOf(table), new Response(copy, { headers: { 'Cache-Control': 'max-age=60' } }));
  const next = await isolate();
  expect(next).toMatchObject({
    version: `published ${version}`,
    asked: expect.arrayContaining([artefactKey(table.digest)]),
  });
  expect(await hexOf((await copyOf(table)) ?? new Uint8Array())).toBe(table.digest.slice('sha256:'.length));
});

test('a file of the bucket that is not what its key says is refused, and not kept', async () => {
  await bucket.put(artefactKey(table.digest), new Uint8Array(table.size));
  const { registry } = reader();
  await expect(registrySource(registry, table.digest).read(table)).rejects.toThrow('is not what its name says');
  await Promise.all(work);
  expect(await copyOf(table)).toBeUndefined();
});

test('a cache that fails is no reason to fail', async () => {
  const broken = {
    match: () => Promise.reject(new Error('the cache is down')),
    put: () => Promise.reject(new Error('the cache is down')),
  };
  expect((await isolate({ cache: broken, deployment: 'a' })).version).toBe(`published ${version}`);
});

test('the bytes belong to whoever read them, and may be detached at once', async () => {
  const { registry } = reader();
  const read = await readByDigest(registry, artefactKey(table.digest), table.digest);
  read.buffer.transfer();
  await Promise.all(work);
  expect((await copyOf(table))?.byteLength).toBe(table.size);
});

describe('golden vectors', () => {
  test('that one isolate reproduced are not computed again by others of the same deployment, which open what they need', async () => {
    expect((await isolate({ deployment: 'a' })).opened).toBe(1);
    expect(await isolate({ deployment: 'a' })).toMatchObject({ version: `published ${version}`, opened: 0 });
    expect((await isolate({ deployment: 'b' })).opened).toBe(1);
  });

  test('that were not reproduced leave no proof: every isolate refuses the model', async () => {
    const embedding = Array(DIMENSIONS).fill(0.25);
    await publish({ golden: [{ text: 'a dog', tier: 'static', embedding, min_cosine: 0.99 }] });
    for (let i = 0; i < 2; i++) expect(await isolate({ deployment: 'a' })).toMatchObject({ version: '1', opened: 1 });
  });
});
