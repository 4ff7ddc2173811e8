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
import { createEncode } from './encode.ts';
import { download } from './model-cache.ts';
import { openSession, readManifest } from './session.ts';
import type { Tower, Towers } from './towers.ts';

export interface FollowOptions {
  /** Folder of the embedded model: served while the registry names none or cannot be read. */
  embedded: string;
  registry: ObjectReader;
  /** Model whose pointer is followed; absent: the embedded model's name. */
  name?: string | undefined;
  /** Between two polls of the pointer while everything that is asked for is known. */
  seconds: number;
  threads: number;
  /** A tower that is neither current nor the one before is closed when it was not asked for in this time. */
  idleMs?: number;
}

/** How long a start waits for the registry before it serves the embedded model. */
const START_MS = 8_000;
/** Between two polls for unknown spaces: callers may ask for anything. */
const UNKNOWN_SPACE_MS = 1_000;
/** Longer than a Worker takes to move on to a newer space. */
const IDLE_MS = 600_000;

interface OpenTower extends Tower {
  running: number;
  usedAt: number;
  close(): Promise<void>;
}

export async function followTowers(options: FollowOptions): Promise<Towers & { close(): Promise<void> }> {
  const { registry, threads, idleMs = IDLE_MS } = options;
  const embedded = await readManifest(options.embedded);
  const name = options.name ?? embedded.name;
  const cache = await mkdtemp(join(tmpdir(), 'edge-clip-models-'));
  /** By space, as all below: folders that a tower can be opened from. */
  const folders = new Map([[embedded.space_id, options.embedded]]);
  const towers = new Map<string, Promise<OpenTower>>();
  const manifests = new Map<string, ModelManifest>();
  let previous: string | undefined;
  /** The last poll for an unknown space. */
  let soughtAt = Number.NEGATIVE_INFINITY;
  let polling: Promise<void> | undefined;

  // Towers are kept by space, not by manifest: the follower has nothing to close, `closeIdle` has.
  const follower = createFollower<{ manifest: ModelManifest }>({
    registry,
    name,
    first: { digest: '', model: { manifest: embedded } },
    pollMs: options.seconds * 1000,
    clock: systemClock,
    async open(digest) {
      const { manifest, bytes } = await readStored(registry, digest);
      await load(digest, manifest, bytes);
      return { manifest };
    },
    close: async () => {},
    onCurrent({ digest, model: { manifest } }, { was }) {
      const { space_id, version } = manifest;
      if (space_id !== was.manifest.space_id) previous = was.manifest.space_id;
      manifests.set(space_id, manifest);
      log({ event: 'model_current', model: name, version, manifest: digest, space_id });
    },
    log,
  });
  const currentSpace = () => follower.current().model.manifest.space_id;

  // ---------------------------------------------------------------- towers

  /** Single-flight: callers meanwhile wait for the same opening. */
  function openTower(space: string): Promise<OpenTower> | undefined {
    const folder = folders.get(space);
    const known = towers.get(space);
    if (known || folder === undefined) return known;
    const opening = open(folder);
    towers.set(space, opening);
    opening.catch(() => towers.delete(space));
    return opening;
  }

  async function open(folder: string): Promise<OpenTower> {
    const manifest = await readManifest(folder);
    const session = await openSession(folder, manifest, threads);
    const encode = createEncode(manifest, session);
    manifests.set(manifest.space_id, manifest);
    const tower: OpenTower = {
      manifest,
      running: 0,
      usedAt: Date.now(),
      async encode(images) {
        tower.running += 1;
        try {
          return await encode(images);
        } finally {
          tower.running -= 1;
          tower.usedAt = Date.now();
        }
      },
      close: () => session.close(),
    };
    return tower;
  }

  /** Opens the tower of a manifest, unless its space is served already: then the image tower is the same. */
  async function load(digest: string, manifest: ModelManifest, bytes: Uint8Array): Promise<void> {
    requireName(manifest, name);
    const space = manifest.space_id;
    if (folders.has(space)) {
      await openTower(space);
      return;
    }
    const folder = await download(registry, { digest, manifest, bytes }, cache);
    towers.set(space, Promise.resolve(await open(folder)));
    folders.set(space, folder);
  }

  async function closeIdle(): Promise<void> {
    for (const [space, opening] of towers) {
      const tower = await opening.catch(() => undefined);
      if (!tower || space === currentSpace() || space === previous) continue;
      if (tower.running > 0 || Date.now() - tower.usedAt < idleMs) continue;
      towers.delete(space);
      manifests.delete(space);
      await tower.close();
      const folder = folders.get(space) ?? '';
      if (!folder.startsWith(cache)) continue;
      folders.delete(space);
      await rm(folder, { recursive: true, force: true });
    }
  }

  // ---------------------------------------------------------------- polls

  /** Single-flight. `wanted`: a space that was asked for and is unknown. */
  function poll(wanted?: string): Promise<void> {
    polling ??= follower
      .poll(async (pointer) => {
        if (pointer && wanted !== undefined && !folders.has(wanted)) await loadPrevious(pointer, wanted);
        await closeIdle();
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
    await load(digest, manifest, bytes);
    previous = wanted;
  }

  async function seek(space: string): Promise<void> {
    await polling;
    if (!folders.has(space)) await sleep(soughtAt + UNKNOWN_SPACE_MS - Date.now());
    if (folders.has(space)) return;
    soughtAt = Date.now();
    await poll(space);
  }

  // ---------------------------------------------------------------- start

  await within(poll(), START_MS);
  await openTower(currentSpace());

  return {
    async find(space) {
      if (!folders.has(space)) await seek(space);
      else if (follower.isDue()) void poll();
      const tower = await openTower(space);
      if (tower) tower.usedAt = Date.now();
      return tower;
    },
    manifests() {
      const current = currentSpace();
      const others = [...manifests.values()].filter(({ space_id }) => space_id !== current);
      return [manifests.get(current) ?? embedded, ...others];
    },
    async close() {
      await polling;
      for (const opening of towers.values()) await (await opening).close();
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
