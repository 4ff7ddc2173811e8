// Following a registry in workerd with its real bucket: who waits for what, what a request holds, what is tried again.
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Model } from '../../../api/core/model.ts';
import type { ModelSource } from '../../../api/registry/read.ts';
import { openR2Reader, type R2Reader } from '../../../api/registry/stores/r2.ts';
import type { TextEngine } from '../../../api/text/engine.ts';
import {
  type ModelProvider,
  type PublishedModelOptions,
  providePublishedModel,
} from '../../../api/worker/model-provider.ts';
import type { FollowEvent } from '../../../contracts/src/events.ts';
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { DIMENSIONS, tableModel } from './table-model.ts';

const bucket = (env as { MODELS: R2Bucket }).MODELS;
const NAME = 'table';
const SECONDS = 60;
const embedded = await tableModel();
const bytesOf = (document: unknown) => new Uint8Array(new TextEncoder().encode(JSON.stringify(document)));
const digestOf = async (bytes: Uint8Array<ArrayBuffer>) => {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return `sha256:${Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
};
const embeddedDigest = await digestOf(bytesOf(await embedded.manifest()));

async function putByDigest(key: (digest: string) => string, document: object): Promise<string> {
  const bytes = bytesOf(document);
  const digest = await digestOf(bytes);
  await bucket.put(key(digest), bytes);
  return digest;
}

let release: string | null = null;
async function point(manifest: string): Promise<void> {
  const moved_at = '2026-01-01T00:00:00Z';
  const more = { action: 'publish', reasons: [], metrics: {}, dev_data: null };
  release = await putByDigest(releaseKey, { name: NAME, manifest, moved_at, previous: release, ...more });
  await bucket.put(currentKey(NAME), bytesOf({ name: NAME, manifest, release, moved_at }));
}

/** `changes` of the table model's manifest; its files are put as they are. */
async function publish(version: string, changes: object = {}): Promise<string> {
  const source = await tableModel({ changes: { version, ...changes } });
  const manifest = await source.manifest();
  const { text, static: fast } = ModelManifest.parse(manifest);
  const table = fast ? [fast.table.file] : [];
  for (const artefact of [text.tokenizer.vocabulary, text.graph.file, ...table]) {
    await bucket.put(artefactKey(artefact.digest), await source.read(artefact));
  }
  const digest = await putByDigest(manifestKey, manifest as object);
  await point(digest);
  return digest;
}
const wrong = {
  golden: [{ text: 'a dog', tier: 'static', embedding: Array(DIMENSIONS).fill(0.25), min_cosine: 0.99 }],
};

// ------------------------------------------------------------------ one isolate

let sessions: { opened: number; released: number };
let events: FollowEvent[];
let work: Promise<void>[];

function isolate(options: Partial<PublishedModelOptions> = {}): ModelProvider {
  const engine: TextEngine = {
    async open(text, read) {
      for (const file of [text.table.file, text.graph.file]) await read(file);
      sessions.opened += 1;
      const close = async () => {
        sessions.released += 1;
      };
      return { encode: () => Promise.reject(new Error('there is no graph')), close, memoryBytes: () => 0 };
    },
  };
  return providePublishedModel({
    embedded: { source: embedded, digest: async () => embeddedDigest },
    registry: openR2Reader(bucket),
    seconds: SECONDS,
    engine,
    background: (promise) => void work.push(promise),
    probeImages: async () => {},
    log: (event) => events.push(event),
    ...options,
  });
}
const version = (provider: ModelProvider) => provider.use(async ({ manifest }) => manifest.version);
/** The next poll and what comes of it. */
async function poll(provider: ModelProvider): Promise<string> {
  vi.advanceTimersByTime(SECONDS * 1000);
  await version(provider);
  await Promise.all(work);
  return version(provider);
}

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  [sessions, events, work, release] = [{ opened: 0, released: 0 }, [], [], null];
  for (const { key } of (await bucket.list()).objects) await bucket.delete(key);
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the first answer of an isolate', () => {
  test('is the published model', async () => {
    await publish('2');
    expect(await version(isolate())).toBe('2');
    expect(events).toMatchObject([{ event: 'model_current', version: '2', was: '1' }]);
  });

  test.each<[string, () => Promise<R2Reader>]>([
    ['nothing was published', async () => bucket],
    ['the pointer names it', async () => point(embeddedDigest).then(() => bucket)],
    ['the bucket fails', async () => ({ get: () => Promise.reject(new Error('R2 is down')) })],
    ['the pointer is none', async () => bucket.put(currentKey(NAME), '{}').then(() => bucket)],
  ])('is the embedded model where %s', async (_, make) => {
    expect(await version(isolate({ registry: openR2Reader(await make()) }))).toBe('1');
    expect(sessions.opened).toBe(0);
  });

  test('leaves the files of the embedded model unread, where it is the published one', async () => {
    await publish('2');
    const read: string[] = [];
    const counting: ModelSource = {
      ...embedded,
      read: (artefact) => {
        read.push(artefact.path);
        return embedded.read(artefact);
      },
    };
    const first = { embedded: { source: counting, digest: async () => embeddedDigest } };
    const open = async ({ tokenizer, encoder }: Model) => {
      await tokenizer();
      await encoder('static');
    };
    await isolate(first).use(open);
    expect(read).toEqual([]);
    // Where there is nothing to follow it is opened, with the same files read once.
    const alone = isolate({ ...first, registry: openR2Reader({ get: async () => null }) });
    await alone.use(open);
    await alone.use(open);
    expect(read).toEqual(['vocabulary.txt', 'static.table.bin']);
  });

  test('does not wait for a bucket that never answers, and later answers do not wait at all', async () => {
    vi.useFakeTimers();
    const provider = isolate({ registry: openR2Reader({ get: () => new Promise(() => {}) }) });
    const first = version(provider);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(await first).toBe('1');
    expect(await version(provider)).toBe('1');
  });

  test('is what older isolates kept, where the newest model is refused', async () => {
    await publish('2');
    const older = isolate();
    expect(await version(older)).toBe('2');
    await publish('3', wrong);
    expect(await poll(older)).toBe('2');
    expect(await version(isolate())).toBe('2');
  });
});

describe('moving on', () => {
  test('happens behind requests: the one that begins a poll is answered by the model before', async () => {
    const provider = isolate();
    await version(provider);
    await publish('2');
    vi.advanceTimersByTime(SECONDS * 1000);
    expect(await version(provider)).toBe('1');
    await Promise.all(work);
    expect(await version(provider)).toBe('2');
  });

  test('a request keeps its model open until it ends, and no third model is opened meanwhile', async () => {
    await publish('2');
    const provider = isolate();
    await provider.use(async (held) => {
      await publish('3');
      expect(await poll(provider)).toBe('3');
      await publish('4');
      expect(await poll(provider)).toBe('3');
      expect(held.manifest.version).toBe('2');
      expect(sessions).toEqual({ opened: 2, released: 0 });
    });
    expect(sessions.released).toBe(1);
    expect(await poll(provider)).toBe('4');
    expect(sessions).toEqual({ opened: 3, released: 2 });
  });

  test('goes back at once to a model that is still open for a request', async () => {
    const provider = isolate();
    await provider.use(async () => {
      await publish('2');
      expect(await poll(provider)).toBe('2');
      await point(embeddedDigest);
      expect(await poll(provider)).toBe('1');
    });
    expect(sessions).toEqual({ opened: 1, released: 1 });
  });

  test('a request whose client is gone holds up no rollback and keeps no memory, although it never ends', async () => {
    const first = await publish('2');
    const provider = isolate();
    await version(provider);
    await publish('3');
    const client = new AbortController();
    await poll(provider);
    void provider.use(() => new Promise(() => {}), { signal: client.signal });
    await publish('4');
    expect(await poll(provider)).toBe('4');
    await point(first);
    expect(await poll(provider)).toBe('4');
    client.abort();
    expect(await poll(provider)).toBe('2');
    expect(sessions).toEqual({ opened: 4, released: 3 });
  });

  test('a request that was cancelled keeps nothing permanently', async () => {
    await publish('2');
    const provider = isolate();
    await version(provider);
    void provider.use(() => new Promise(() => {}));
    await publish('3');
    expect(await poll(provider)).toBe('3');
    expect(sessions.released).toBe(0);
    vi.advanceTimersByTime(600_001);
    await version(provider);
    expect(sessions.released).toBe(1);
  });

  test('waits until images of a new space can be encoded, says so once and reads none of its files for nothing', async () => {
    let isReady = false;
    const asked: string[] = [];
    const provider = isolate({
      async probeImages({ id }) {
        asked.push(id);
        if (!isReady) throw new Error('the encoder is at another space');
      },
    });
    await version(provider);
    const space_id = `sha256:${'d'.repeat(64)}`;
    await publish('2', { space_id });
    for (let i = 0; i < 3; i++) expect(await poll(provider)).toBe('1');
    expect(events).toMatchObject([{ event: 'model_waits', reason: 'the encoder is at another space' }]);
    expect(sessions.opened).toBe(0);
    isReady = true;
    expect(await poll(provider)).toBe('2');
    expect(asked).toEqual(Array(4).fill(space_id));
  });

  test('a model that was refused is closed, and tried again after pauses that double up to an hour', async () => {
    const provider = isolate();
    await version(provider);
    const manifest = await publish('2', wrong);
    const tries: number[] = [];
    for (let minute = 1; minute <= 200; minute++) {
      const before = sessions.opened;
      expect(await poll(provider)).toBe('1');
      if (sessions.opened > before) tries.push(minute);
    }
    expect(tries).toEqual([1, 2, 4, 8, 16, 32, 64, 124, 184]);
    expect(events).toMatchObject([{ event: 'model_refused', manifest, reason: expect.stringContaining('cosine') }]);
    expect(sessions.released).toBe(sessions.opened);
  });
});
