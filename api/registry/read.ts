// The one reader of a model registry: pointer, release, manifest and artefact, each verified before it is believed.
import type { z } from 'zod';
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import type { Artefact, FilePart } from '../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { ModelRelease } from '../../contracts/src/model/release.ts';
import type { PackedModel } from '../../contracts/src/model/towers.ts';
import { sha256 } from './digest.ts';
import { RegistryError } from './errors.ts';
import type { ObjectReader, StoredObject } from './store.ts';

/** Where the files of one model come from: the bundle of a Worker, a folder, a registry. */
export interface ModelSource {
  /** The manifest as JSON; opening the model checks it against the contract, unless `isDeployed`. */
  manifest(): Promise<unknown>;
  /** A file as it is stored, for `readVerified`. The buffer is the caller's, who may detach it. */
  read(artefact: Artefact): Promise<ArrayBuffer>;
  /** Whether `read` itself compares digests, and refuses what is not the file that is named. */
  isProven?: true;
  /**
   * Whether manifest and files came with the program that opens them, checked when all of it was put together: a deployment as
   * a whole is right or wrong (docs/decisions/0018). Then `read` answers for place and length, and `readVerified` is for those who doubt.
   */
  isDeployed?: true;
  /** What a deployment made of the files of a manifest that does not say so; absent: nothing. */
  packed?(): Promise<PackedModel>;
  /** `read` in chunks, of which each is good until the next is asked for; absent: it reads files as a whole. */
  chunks?(artefact: Artefact): AsyncIterable<Uint8Array>;
  /** The parts of a file that is stored in parts which can be read by themselves, at least one; absent: it reads files as a whole. */
  parts?(artefact: Artefact): FilePart[];
  /** Releases what the source itself keeps in memory; nothing is read from it any more. */
  close?(): void;
}

/** A file of a model. Throws a RegistryError where its bytes are not those that the descriptor names. */
export async function readVerified(
  source: Pick<ModelSource, 'read' | 'isProven'>,
  artefact: Artefact,
): Promise<ArrayBuffer> {
  const bytes = await source.read(artefact);
  if (!source.isProven) await verifyDigest(bytes, artefact.digest, artefact.path);
  return bytes;
}

/** A published model: the files that its manifest names, by digest. */
export function registrySource(registry: ObjectReader, manifest: string): ModelSource {
  return {
    manifest: async () => JSON.parse(toText(await readByDigest(registry, manifestKey(manifest), manifest))),
    isProven: true,
    async read({ path, digest, size }) {
      const { buffer, byteLength } = await readImmutable(registry, artefactKey(digest), { digest, what: path, size });
      return buffer.byteLength === byteLength ? buffer : buffer.slice(0, byteLength);
    },
  };
}

/** The pointer of a model and the etag to move it by; undefined where nothing was ever published under that name. */
export async function readPointer(
  registry: ObjectReader,
  model: string,
): Promise<{ pointer: ModelPointer; etag: string } | undefined> {
  const key = currentKey(model);
  const object = await registry.get(key);
  if (object === undefined) return undefined;
  const pointer = parseDocument(ModelPointer, await object.text(), `${registry.uri}/${key}`);
  return { pointer, etag: object.etag };
}

export async function readRelease(registry: ObjectReader, digest: string): Promise<ModelRelease> {
  const bytes = await readByDigest(registry, releaseKey(digest), digest);
  return parseDocument(ModelRelease, toText(bytes), `release ${digest}`);
}

/** `bytes`: the manifest file itself, for callers that keep a copy. */
export async function readManifest(
  registry: ObjectReader,
  digest: string,
): Promise<{ manifest: ModelManifest; bytes: Uint8Array<ArrayBuffer> }> {
  const { ModelManifest } = await import('../../contracts/src/model/manifest.ts');
  const bytes = await readByDigest(registry, manifestKey(digest), digest);
  return { manifest: parseDocument(ModelManifest, toText(bytes), `manifest ${digest}`), bytes };
}

/** An object that must be there, for callers that verify it while it streams. */
export async function find(registry: ObjectReader, key: string): Promise<StoredObject> {
  const object = await registry.get(key);
  if (object === undefined) throw new RegistryError(`${registry.uri}/${key} is missing: the registry is incomplete`);
  return object;
}

/** An immutable object as a whole, verified against the digest in its key. */
export async function readByDigest(
  registry: ObjectReader,
  key: string,
  digest: string,
): Promise<Uint8Array<ArrayBuffer>> {
  return readImmutable(registry, key, { digest, what: `${registry.uri}/${key}` });
}

interface Wanted {
  digest: string;
  /** As an error names it. */
  what: string;
  /** As a manifest says it; absent: not known. */
  size?: number;
}

/** From where it is nearest. A copy that is not what its key says is as good as none, and is replaced. */
async function readImmutable(
  registry: ObjectReader,
  key: string,
  { digest, what, size }: Wanted,
): Promise<Uint8Array<ArrayBuffer>> {
  const copy = await registry.near?.get(key);
  if (copy && (await sha256(copy)) === digest) return copy;
  const object = await find(registry, key);
  // Checked first: a file of another size is not worth its transfer, nor the memory.
  if (size !== undefined && object.size !== size) {
    object.close();
    throw new RegistryError(`${what} has ${object.size} bytes, its manifest says ${size}`);
  }
  const bytes = await object.bytes();
  await verifyDigest(bytes, digest, what);
  registry.near?.put(key, bytes);
  return bytes;
}

async function verifyDigest(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>, digest: string, what: string): Promise<void> {
  const found = await sha256(bytes);
  if (found !== digest) throw notItsName(what, found);
}

function toText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** What is said of bytes that are not those which a key or a descriptor names. */
export function notItsName(what: string, found: string): RegistryError {
  return new RegistryError(
    `${what} is not what its name says: it was altered or is being written (its digest is ${found})`,
  );
}

/** Parses a document of a registry or a run. Throws a RegistryError that names the field at fault. */
export function parseDocument<T>(schema: z.ZodType<T>, text: string, what: string): T {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw new RegistryError(`${what} is not JSON: ${error.message}`);
    throw error;
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new RegistryError(`${what} breaks the contract at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}
