// The image towers of a model registry: those of the current model and of the one before, and a poll for any other space.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FollowEvent } from '../../contracts/src/events.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { systemClock } from '../registry/clock.ts';
import { createFollower, requireName } from '../registry/follow.ts';
import { readRelease, readManifest as readStored } from '../registry/read.ts';
import type { ObjectReader } from '../registry/store.ts';
import type { StoredManifest } from './model-cache.ts';
import { type Provider, readManifest } from './session.ts';
import { createTowerPool } from './tower-pool.ts';
import type { Towers } from './towers.ts';

export interface FollowOptions {
  /** Folder of the embedded model: served while the registry names none or cannot be read. */
  embedded: string;
  registry: ObjectReader;
  /** Model whose pointer is followed; absent: the embedded model's name. */
  name?: string | undefined;
  /** Between two polls of the pointer while everything that is asked for is known. */
  seconds: number;
  threads: number;
  provider?: Provider | undefined;
  /** A tower that is neither current nor the one before is closed when it was not asked for in this time. */
  idleMs?: number;
}

/** How long a start waits for the registry before it serves the embedded model. */
const START_MS = 8_000;
/** Between two polls for unknown spaces: callers may ask for anything. */
const UNKNOWN_SPACE_MS = 1_000;
/** Longer than a Worker takes to move on to a newer space. */
const IDLE_MS = 600_000;

export async function followTowers(options: FollowOptions): Promise<Towers & { close(): Promise<void> }> {
  const { registry, idleMs = IDLE_MS } = options;
  const embedded = await readManifest(options.embedded);
  const name = options.name ?? embedded.name;
  const cache = await mkdtemp(join(tmpdir(), 'edge-clip-models-'));
  const pool = createTowerPool({
    registry,
    cache,
    embedded: { folder: options.embedded, manifest: embedded },
    threads: options.threads,
    provider: options.provider,
  });
  /** Space of the model before the current one: Workers may still be at it. */
  let previous: string | undefined;
  /** The last poll for an unknown space. */
  let soughtAt = Number.NEGATIVE_INFINITY;
  let polling: Promise<void> | undefined;

  // Towers are kept by space, not by manifest: the follower has nothing to close, the pool has.
  const follower = createFollower<{ manifest: ModelManifest }>({
    registry,
    name,
    first: { digest: '', model: { manifest: embedded } },
    pollMs: options.seconds * 1000,
    clock: systemClock,
    async open(digest) {
      const { manifest, bytes } = await readStored(registry, digest);
      await load({ digest, manifest, bytes });
      return { manifest };
    },
    close: async () => {},
    onCurrent({ digest, model: { manifest } }, { was }) {
      const { space_id, version } = manifest;
      if (space_id !== was.manifest.space_id) previous = was.manifest.space_id;
      pool.describe(manifest);
      log({ event: 'model_current', model: name, version, manifest: digest, space_id });
    },
    log,
  });
  const currentSpace = () => follower.current().model.manifest.space_id;

  async function load(stored: StoredManifest): Promise<void> {
    requireName(stored.manifest, name);
    await pool.load(stored);
  }

  // ---------------------------------------------------------------- polls

  /** Single-flight. `wanted`: a space that was asked for and is unknown. */
  function poll(wanted?: string): Promise<void> {
    polling ??= follower
      .poll(async (pointer) => {
        if (pointer && wanted !== undefined && !pool.has(wanted)) await loadPrevious(pointer, wanted);
        await pool.closeIdle({ keep: [currentSpace(), previous], idleMs });
      })
      .finally(() => {
        polling = undefined;
      });
    return polling;
  }

  /** A copy of this host that has just begun knows the current model only, but Workers may still be at the one before. */
  async function loadPrevious({ release }: ModelPointer, wanted: string): Promise<void> {
    const before = (await readRelease(registry, release)).previous;
    if (before === null) return;
    const digest = (await readRelease(registry, before)).manifest;
    const { manifest, bytes } = await readStored(registry, digest);
    if (manifest.space_id !== wanted) return;
    await load({ digest, manifest, bytes });
    previous = wanted;
  }

  async function seek(space: string): Promise<void> {
    await polling;
    if (!pool.has(space)) await sleep(soughtAt + UNKNOWN_SPACE_MS - Date.now());
    if (pool.has(space)) return;
    soughtAt = Date.now();
    await poll(space);
  }

  // ---------------------------------------------------------------- start

  await within(poll(), START_MS);
  await pool.open(currentSpace());

  return {
    async find(space) {
      if (!pool.has(space)) await seek(space);
      else if (follower.isDue()) void poll();
      return pool.open(space);
    },
    manifests: () => pool.manifests(currentSpace()),
    async close() {
      await polling;
      await pool.close();
      await rm(cache, { recursive: true, force: true });
    },
  };
}

/** The timer counts as work: Lambda ends a process that has none, even if callers wait. */
function sleep(ms: number): Promise<void> {
  return systemClock.sleep(Math.max(0, ms));
}

async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((wake) => {
    timer = setTimeout(wake, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

function log(event: FollowEvent): void {
  console.log(JSON.stringify(event));
}
