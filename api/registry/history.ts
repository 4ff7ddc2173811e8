// A model registry as readers of its history see it: what is current, how it came to be, and what was before.
import type { z } from 'zod';
import { currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { ModelRelease } from '../../contracts/src/model/release.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { sha256 } from './artefacts.ts';
import type { Incumbent } from './gate.ts';
import type { ObjectStore } from './store.ts';

/** The pointer of a model and the etag to move it by; null where nothing was ever published. */
export async function readPointer(
  store: ObjectStore,
  model: string,
): Promise<{ pointer: ModelPointer; etag: string } | null> {
  const key = currentKey(model);
  const object = await store.get(key);
  if (object === null) return null;
  return { pointer: parse(ModelPointer, object.body, `${store.uri}/${key}`), etag: object.etag };
}

/** The model that is current with the figures it was published on; null where nothing was ever published. */
export async function readIncumbent(store: ObjectStore, model: string): Promise<Incumbent | null> {
  const found = await readPointer(store, model);
  if (found === null) return null;
  const { manifest, release } = found.pointer;
  return {
    digest: manifest,
    manifest: await readManifest(store, manifest),
    release: await readRelease(store, release),
  };
}

export async function readManifest(store: ObjectStore, digest: string): Promise<ModelManifest> {
  return parse(ModelManifest, await readByDigest(store, manifestKey(digest), digest), `manifest ${digest}`);
}

export async function readRelease(store: ObjectStore, digest: string): Promise<ModelRelease> {
  return parse(ModelRelease, await readByDigest(store, releaseKey(digest), digest), `release ${digest}`);
}

/** Every move of the pointer, the newest first. */
export async function readHistory(store: ObjectStore, model: string): Promise<ModelRelease[]> {
  const moves: ModelRelease[] = [];
  let next = (await readPointer(store, model))?.pointer.release ?? null;
  while (next !== null) {
    const release = await readRelease(store, next);
    moves.push(release);
    next = release.previous;
  }
  return moves;
}

/**
 * What stands behind the current model: publications that were not rolled back, the current one last. A rollback takes
 * away what was published after its target.
 */
export function standing(history: readonly ModelRelease[]): ModelRelease[] {
  const stack: ModelRelease[] = [];
  for (const release of history.toReversed()) {
    const at = release.action === 'publish' ? -1 : stack.findLastIndex(({ manifest }) => manifest === release.manifest);
    // Going back to a model that had itself been rolled back puts it on top again.
    if (at === -1) stack.push(release);
    else stack.length = at + 1;
  }
  return stack;
}

async function readByDigest(store: ObjectStore, key: string, digest: string): Promise<Buffer> {
  const object = await store.get(key);
  if (object === null) throw new UserError(`${store.uri}/${key} is missing: the registry is incomplete`);
  if (sha256(object.body) !== digest)
    throw new UserError(`${store.uri}/${key} is not what its name says: it was altered`);
  return object.body;
}

function parse<T>(schema: z.ZodType<T>, body: Buffer, what: string): T {
  let document: unknown;
  try {
    document = JSON.parse(body.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserError(`${what} is not JSON: ${error.message}`);
    throw error;
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${what} breaks the contract at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}
