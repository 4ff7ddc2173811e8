// Publishing and rolling back: artefacts by digest, then the manifest, then the release, and the pointer last.

import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import { artefactsIn } from '../../contracts/src/model/artefact.ts';
import type { ModelPointer } from '../../contracts/src/model/pointer.ts';
import type { ModelRelease } from '../../contracts/src/model/release.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import type { GateDecision, Published } from '../../contracts/src/training/pipeline.ts';
import { openArtefact, type Publishable } from './candidate.ts';
import { sha256 } from './digest.ts';
import { RegistryError } from './errors.ts';
import { activeReleases, readHistory } from './history.ts';
import { readManifest, readPointer, readRelease } from './read.ts';
import { encodeDocument, type ObjectStore, type StoredObject } from './store.ts';

/** What the gate decided. */
type Verdict = Pick<GateDecision, 'decision' | 'reasons' | 'incumbent'>;

export interface PublishOptions {
  /** ISO 8601; the clock unless a test says otherwise. */
  now?: () => string;
}

/**
 * Publishes what the gate let through. Every step can be repeated: what is there already is left alone, and the pointer
 * moves only from the model that the gate compared with, or has moved from there to this one before. Throws a RegistryError for a rejected candidate, an altered file
 * or a pointer that moved meanwhile; the registry then still answers with the old model.
 */
export async function publishModel(
  registry: ObjectStore,
  candidate: Publishable,
  { decision, reasons, incumbent, now = currentTime }: Verdict & PublishOptions,
): Promise<Published> {
  const { manifest, digest, evaluated, dev_data } = candidate;
  if (decision !== 'publish')
    throw new RegistryError(`the gate rejected ${manifest.name} ${manifest.version}: ${reasons.join('; ')}`);
  await storeFiles(registry, candidate);
  const release = { name: manifest.name, manifest: digest, reasons, metrics: evaluated.metrics, dev_data };
  return movePointer(registry, { ...release, action: 'publish', moved_at: now() }, incumbent);
}

/**
 * Writes the files and the manifest of the model that is current where they are missing or were altered; resolves to how many. Of any
 * other model nothing is written.
 */
export async function restoreFiles(registry: ObjectStore, candidate: Publishable): Promise<number> {
  const current = (await readPointer(registry, candidate.manifest.name))?.pointer.manifest;
  return current === candidate.digest ? await storeFiles(registry, candidate) : 0;
}

async function storeFiles(registry: ObjectStore, candidate: Publishable): Promise<number> {
  const { manifest, digest, bytes } = candidate;
  let written = 0;
  for (const artefact of artefactsIn(manifest)) {
    const key = artefactKey(artefact.digest);
    const open = (): Promise<StoredObject> => openArtefact(candidate, artefact);
    if (await putByDigest(registry, { key, digest: artefact.digest, open })) written += 1;
  }
  const own = { key: manifestKey(digest), digest, open: async () => bytes };
  return written + ((await putByDigest(registry, own)) ? 1 : 0);
}

/** Which model to go back to: by default the one before the current one. Returns its publication. */
export function rollbackTarget(history: readonly ModelRelease[], to?: string): ModelRelease {
  const [current, ...before] = activeReleases(history).toReversed();
  if (current === undefined) throw new RegistryError('nothing was ever published under this name');
  const target =
    to === undefined ? before[0] : history.find(({ action, manifest }) => action === 'publish' && manifest === to);
  if (target === undefined)
    throw new RegistryError(
      to === undefined ? 'there is no model before the current one' : `${to} was never published under this name`,
    );
  if (target.manifest === current.manifest) throw new RegistryError(`${target.manifest} is current already`);
  return target;
}

/** Moves the pointer back: nothing is copied, nothing is deleted. */
export async function rollback(
  registry: ObjectStore,
  model: string,
  { to, reason, now = currentTime }: { to?: string | undefined; reason: string; now?: () => string },
): Promise<Published> {
  const found = await readPointer(registry, model);
  const target = rollbackTarget(await readHistory(registry, model), to);
  // Its files were verified when it was published; one that is gone since would leave readers with nothing.
  const wanted = await readManifest(registry, target.manifest);
  for (const { path, digest, size } of artefactsIn(wanted.manifest)) {
    const key = artefactKey(digest);
    const [there] = await registry.list(key, { most: 1 });
    if (there?.key !== key || there.size !== size)
      throw new RegistryError(
        `${target.manifest} cannot come back: ${registry.uri}/${key}, its ${path}, is ${there ? 'cut short' : 'missing'}. ` +
          'Copy it there from another registry, or go back to another model with --to',
      );
  }
  const { name, manifest, metrics, dev_data } = target;
  const move = { name, manifest, metrics, dev_data, reasons: [reason], action: 'rollback' as const, moved_at: now() };
  return movePointer(registry, move, found?.pointer.manifest ?? null);
}

function currentTime(): string {
  return new Date().toISOString();
}

/** `from`: the manifest that the pointer must still name; null where there is none yet, as the gate's document says it. */
async function movePointer(
  registry: ObjectStore,
  move: Omit<ModelRelease, 'previous'>,
  from: string | null,
): Promise<Published> {
  const before = await readPointer(registry, move.name);
  const moved = new RegistryError(
    `the pointer of ${move.name} moved meanwhile: decide again, nothing was published over the other model`,
  );
  if ((before?.pointer.manifest ?? null) !== from) {
    const done = before && (await samePublication(registry, before.pointer, { move, from }));
    if (!done) throw moved;
    return done;
  }
  const previous = before?.pointer.release ?? null;
  const release = encodeDocument({ schema_version: SCHEMA_VERSION, ...move, previous } satisfies ModelRelease);
  const digest = await sha256(release);
  await putByDigest(registry, { key: releaseKey(digest), digest, open: async () => release });
  const { name, manifest, moved_at } = move;
  const pointer = encodeDocument({
    schema_version: SCHEMA_VERSION,
    name,
    manifest,
    release: digest,
    moved_at,
  } satisfies ModelPointer);
  const condition = before === undefined ? 'absent' : { etag: before.etag };
  // Where an answer is lost the SDK sends the same again, which then meets the pointer that it has written itself.
  if (
    !(await registry.put(currentKey(name), pointer, condition)) &&
    (await readPointer(registry, name))?.pointer.release !== digest
  )
    throw moved;
  return { name, manifest, moved_at };
}

/** What the pointer says already, where the same publication was done before and its answer was lost; undefined: another move was made. */
async function samePublication(
  registry: ObjectStore,
  { name, manifest, release, moved_at }: ModelPointer,
  { move, from }: { move: Omit<ModelRelease, 'previous'>; from: string | null },
): Promise<Published | undefined> {
  if (manifest !== move.manifest || move.action !== 'publish') return undefined;
  const { action, previous } = await readRelease(registry, release);
  const before = previous === null ? null : (await readRelease(registry, previous)).manifest;
  return action === 'publish' && before === from ? { name, manifest, moved_at } : undefined;
}

interface DigestedObject {
  key: string;
  digest: string;
  open(): Promise<Uint8Array | StoredObject>;
}

/**
 * Keys say what the bytes are: an object that is there is the right one, or was altered and is written again. Resolves to whether it
 * was written.
 */
async function putByDigest(registry: ObjectStore, { key, digest, open }: DigestedObject): Promise<boolean> {
  const body = await open();
  if (await registry.put(key, body, 'absent')) return true;
  if ('close' in body) body.close();
  const there = await registry.get(key);
  if (there !== undefined && (await there.digest()) === digest) return false;
  return await registry.put(key, await open());
}
