// The history of a published model: what is current, the releases that led to it, and what is behind the current one.
import type { ModelRelease } from '../../contracts/src/model/release.ts';
import type { Incumbent } from './gate.ts';
import { readManifest, readPointer, readRelease } from './read.ts';
import type { ObjectReader } from './store.ts';

/** The model that is current with the figures it was published on; undefined where nothing was ever published. */
export async function readIncumbent(registry: ObjectReader, model: string): Promise<Incumbent | undefined> {
  const found = await readPointer(registry, model);
  if (found === undefined) return undefined;
  const { manifest: digest, release } = found.pointer;
  const { manifest } = await readManifest(registry, digest);
  const newest = await readRelease(registry, release);
  const history = [newest, ...(await releasesFrom(registry, newest.previous))];
  return { digest, manifest, release: newest, replaced: replacedByHand(history) };
}

/** Every release of a model, the newest first. */
export async function readHistory(registry: ObjectReader, model: string): Promise<ModelRelease[]> {
  return releasesFrom(registry, (await readPointer(registry, model))?.pointer.release ?? null);
}

async function releasesFrom(registry: ObjectReader, newest: string | null): Promise<ModelRelease[]> {
  const releases: ModelRelease[] = [];
  let next = newest;
  while (next !== null) {
    const release = await readRelease(registry, next);
    releases.push(release);
    next = release.previous;
  }
  return releases;
}

/** Publications that were not rolled back, the current one last. A rollback takes away what was published after its target. */
export function activeReleases(history: readonly ModelRelease[]): ModelRelease[] {
  const stack: ModelRelease[] = [];
  for (const release of history.toReversed()) {
    const at = release.action === 'publish' ? -1 : stack.findLastIndex(({ manifest }) => manifest === release.manifest);
    // Going back to a model that had itself been rolled back puts it on top again.
    if (at === -1) stack.push(release);
    else stack.length = at + 1;
  }
  return stack;
}

/**
 * Models that were current until a person put another one in their place, by manifest, with the move that did it: a rollback, or the
 * publication of a model that was measured on no dev split, such as one that was calibrated. What came back since is not among them.
 */
export function replacedByHand(history: readonly ModelRelease[]): Map<string, ModelRelease> {
  const replaced = new Map<string, ModelRelease>();
  const past: ModelRelease[] = [];
  for (const release of history.toReversed()) {
    const before = activeReleases(past.toReversed());
    past.push(release);
    const left = new Set(activeReleases(past.toReversed()).map(({ manifest }) => manifest));
    const isByHand = release.action === 'rollback' || release.dev_data === null;
    // A rollback takes away all that was published after its target, not the current one alone.
    for (const [at, { manifest }] of before.entries())
      if (isByHand && (at === before.length - 1 || !left.has(manifest))) replaced.set(manifest, release);
    replaced.delete(release.manifest);
  }
  return replaced;
}
