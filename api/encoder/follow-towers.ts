// The image towers of a model registry: the current one and the one before it, and a look at the pointer for any other.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { readPointer, readRelease, readManifest as readStored } from '../registry/read.ts';
import { createRetries } from '../registry/retries.ts';
import type { ObjectReader } from '../registry/store.ts';
import { createEncode } from './encode.ts';
import { download, type StoredManifest } from './model-cache.ts';
import { openSession, readManifest } from './session.ts';
import type { Tower, Towers } from './towers.ts';

export type FollowOptions = {
  /** Folder of the embedded model: served while the registry names none or cannot be read. */
  embedded: string;
  store: ObjectReader;
  /** Model whose pointer is followed; absent: the embedded model's name. */
  name?: string | undefined;
  /** Between two looks at the pointer while everything that is asked for is known. */
  seconds: number;
  threads: number;
  /** A tower that is neither current nor the one before is closed when nobody asked for it this long. */
  idleMs?: number;
};

/** How long a start waits for the registry before it serves the embedded model. */
const START_MS = 8_000;
/** Between two looks for spaces that nobody knows: callers may ask for anything. */
const PAUSE_MS = 1_000;
/** Longer than a Worker takes to move on to a newer space. */
const IDLE_MS = 600_000;

type OpenTower = Tower & { running: number; usedAt: number; close(): Promise<void> };

export async function followTowers(options: FollowOptions): Promise<Towers & { close(): Promise<void> }> {
  const { store, seconds, threads, idleMs = IDLE_MS } = options;
  const embedded = await readManifest(options.embedded);
  const name = options.name ?? embedded.name;
  const cache = await mkdtemp(join(tmpdir(), 'edge-clip-models-'));
  const retries = createRetries(seconds * 1000);
  /** By space, as all below: folders that a tower can be opened from. */
  const folders = new Map([[embedded.space_id, options.embedded]]);
  const towers = new Map<string, Promise<OpenTower>>();
  const manifests = new Map<string, ModelManifest>();
  let current = { digest: '', space: embedded.space_id };
  let previous: string | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  /** The last look for a space that nobody knew. */
  let soughtAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;
  let isUnreadable = false;

  // ---------------------------------------------------------------- towers

  /** Single-flight: whoever asks meanwhile waits for the same opening. */
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

  async function closeIdle(): Promise<void> {
    for (const [space, opening] of towers) {
      const tower = await opening.catch(() => undefined);
      if (!tower || space === current.space || space === previous) continue;
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

  // ---------------------------------------------------------------- looks

  /** `wanted`: a space that somebody asked for and nobody knows. */
  async function look(wanted?: string): Promise<void> {
    lookedAt = Date.now();
    try {
      const pointer = (await readPointer(store, name))?.pointer;
      isUnreadable = false;
      if (pointer && pointer.manifest !== current.digest) await moveTo(pointer.manifest);
      if (pointer && wanted !== undefined && !folders.has(wanted)) await learnPrevious(pointer, wanted);
      await closeIdle();
    } catch (error) {
      if (!isUnreadable) log({ event: 'registry_unreadable', reason: reasonOf(error) });
      isUnreadable = true;
    }
  }

  async function moveTo(digest: string): Promise<void> {
    if (!retries.isDue(digest)) return;
    try {
      const stored = { digest, ...(await readStored(store, digest)) };
      const { space_id: space, version } = stored.manifest;
      await learn(stored);
      if (space !== current.space) previous = current.space;
      current = { digest, space };
      manifests.set(space, stored.manifest);
      log({ event: 'model_current', model: name, version, manifest: digest, space_id: space });
    } catch (error) {
      if (retries.failed(digest)) log({ event: 'model_refused', manifest: digest, reason: reasonOf(error) });
    }
  }

  /** A copy of this host that has just begun knows the current model only, but Workers may still be at the one before. */
  async function learnPrevious(pointer: ModelPointer, wanted: string): Promise<void> {
    const { previous: before } = await readRelease(store, pointer.release);
    const digest = before === null ? undefined : (await readRelease(store, before)).manifest;
    if (digest === undefined) return;
    const stored = { digest, ...(await readStored(store, digest)) };
    if (stored.manifest.space_id !== wanted) return;
    await learn(stored);
    previous = wanted;
  }

  /** Opens the tower of a manifest, unless its space is served already: then the image tower is the same. */
  async function learn(stored: StoredManifest): Promise<void> {
    const { manifest } = stored;
    if (manifest.name !== name) throw new Error(`the manifest is of ${manifest.name}, not of ${name}`);
    const space = manifest.space_id;
    if (folders.has(space)) await openTower(space);
    else {
      const folder = await download(store, stored, cache);
      towers.set(space, Promise.resolve(await open(folder)));
      folders.set(space, folder);
    }
  }

  async function learnOf(space: string): Promise<void> {
    await looking;
    if (!folders.has(space)) await sleep(soughtAt + PAUSE_MS - Date.now());
    if (folders.has(space)) return;
    soughtAt = Date.now();
    await lookAlone(space);
  }

  function lookAlone(wanted?: string): Promise<void> {
    looking ??= look(wanted).finally(() => {
      looking = undefined;
    });
    return looking;
  }

  // ---------------------------------------------------------------- start

  await within(lookAlone(), START_MS);
  await openTower(current.space);

  return {
    async find(space) {
      if (!folders.has(space)) await learnOf(space);
      else if (Date.now() - lookedAt >= seconds * 1000) void lookAlone();
      const tower = await openTower(space);
      if (tower) tower.usedAt = Date.now();
      return tower;
    },
    manifests() {
      const others = [...manifests.values()].filter(({ space_id }) => space_id !== current.space);
      return [manifests.get(current.space) ?? embedded, ...others];
    },
    async close() {
      await looking;
      for (const opening of towers.values()) await (await opening).close();
      await rm(cache, { recursive: true, force: true });
    },
  };
}

/** The timer counts as work: Lambda ends a process that has none, whoever waits. */
function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, Math.max(0, ms)));
}

async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((wake) => {
    timer = setTimeout(wake, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function log(event: Record<string, string>): void {
  console.log(JSON.stringify(event));
}
