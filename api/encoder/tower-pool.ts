// The image towers that are open, by the space of their vectors, and the folders that they can be opened from.
import { rm } from 'node:fs/promises';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { ObjectReader } from '../registry/store.ts';
import { createEncode } from './encode.ts';
import { download, type StoredManifest } from './model-cache.ts';
import { openSession, type Provider, readManifest } from './session.ts';
import type { Tower } from './towers.ts';

export interface TowerPoolOptions {
  registry: ObjectReader;
  /** Folder that published models are downloaded into. */
  cache: string;
  /** Folder of the embedded model and its manifest. */
  embedded: { folder: string; manifest: ModelManifest };
  threads: number;
  provider?: Provider | undefined;
}

export interface TowerPool {
  /** Whether a tower of that space is open or can be opened. */
  has(space: string): boolean;
  /** The tower of a space, opened if need be: callers meanwhile wait for the same opening. Undefined for an unknown space. */
  open(space: string): Promise<Tower | undefined>;
  /** Opens the tower of a published model, unless its space is known: then the image tower is the same. */
  load(stored: StoredManifest): Promise<void>;
  /** What the host says of a space: its manifest may be newer than the one that the tower was opened with. */
  describe(manifest: ModelManifest): void;
  /** Manifests of the towers that are open, that of `current` first. */
  manifests(current: string): [ModelManifest, ...ModelManifest[]];
  /** Closes towers that were not used for this time, but for the spaces to `keep`. */
  closeIdle(options: { keep: (string | undefined)[]; idleMs: number }): Promise<void>;
  close(): Promise<void>;
}

interface OpenTower extends Tower {
  running: number;
  usedAt: number;
  close(): Promise<void>;
}

export function createTowerPool(options: TowerPoolOptions): TowerPool {
  const { registry, cache, embedded, threads, provider } = options;
  // By space, all three.
  const folders = new Map([[embedded.manifest.space_id, embedded.folder]]);
  const towers = new Map<string, Promise<OpenTower>>();
  const manifests = new Map<string, ModelManifest>();

  function openTower(space: string): Promise<OpenTower> | undefined {
    const folder = folders.get(space);
    const known = towers.get(space);
    if (known || folder === undefined) return known;
    const opening = openFolder(folder);
    towers.set(space, opening);
    opening.catch(() => towers.delete(space));
    return opening;
  }

  async function openFolder(folder: string): Promise<OpenTower> {
    const manifest = await readManifest(folder);
    const session = await openSession(folder, manifest, { threads, provider });
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

  return {
    has: (space) => folders.has(space),
    async open(space) {
      const tower = await openTower(space);
      if (tower) tower.usedAt = Date.now();
      return tower;
    },
    async load(stored) {
      const space = stored.manifest.space_id;
      if (folders.has(space)) {
        await openTower(space);
        return;
      }
      const folder = await download(registry, stored, cache);
      towers.set(space, Promise.resolve(await openFolder(folder)));
      folders.set(space, folder);
    },
    describe: (manifest) => void manifests.set(manifest.space_id, manifest),
    manifests(current) {
      const others = [...manifests.values()].filter(({ space_id }) => space_id !== current);
      return [manifests.get(current) ?? embedded.manifest, ...others];
    },
    async closeIdle({ keep, idleMs }) {
      for (const [space, opening] of towers) {
        const tower = await opening.catch(() => undefined);
        if (!tower || keep.includes(space) || tower.running > 0 || Date.now() - tower.usedAt < idleMs) continue;
        towers.delete(space);
        manifests.delete(space);
        await tower.close();
        const folder = folders.get(space) ?? '';
        if (!folder.startsWith(cache)) continue;
        folders.delete(space);
        await rm(folder, { recursive: true, force: true });
      }
    },
    async close() {
      for (const opening of towers.values()) await (await opening).close();
    },
  };
}
