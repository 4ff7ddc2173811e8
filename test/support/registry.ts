// Publishing into a model registry, for tests of its readers: the objects that a publication writes, in its order.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Artefact } from '../../contracts/src/artefact.ts';
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import { ModelManifest } from '../../contracts/src/manifest.ts';
import type { ModelPointer } from '../../contracts/src/pointer.ts';
import type { ModelRelease } from '../../contracts/src/release.ts';

export type Put = (key: string, bytes: Buffer) => Promise<unknown>;
/** A model before it is published: its manifest and the bytes of what that names, by digest. */
export interface TestModel {
  manifest: ModelManifest;
  files: Map<string, Buffer>;
}

export const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Objects of a folder, each written whole. */
export function putIn(folder: string): Put {
  return async (key, bytes) => {
    const file = join(folder, key);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(`${file}.tmp`, bytes);
    await rename(`${file}.tmp`, file);
  };
}

export async function readModel(folder: string): Promise<TestModel> {
  const manifest = ModelManifest.parse(JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')));
  const files = new Map<string, Buffer>();
  for (const { path, digest } of artefactsOf(manifest)) files.set(digest, await readFile(join(folder, path)));
  return { manifest, files };
}

/** The embedded model with `changes` of its manifest; `edit` may replace a file, whose descriptor then follows. */
export function changed(
  model: TestModel,
  changes: Partial<ModelManifest>,
  edits: Record<string, (bytes: Buffer) => Buffer> = {},
): TestModel {
  const manifest = structuredClone({ ...model.manifest, ...changes });
  const files = new Map(model.files);
  for (const artefact of artefactsOf(manifest)) {
    const edit = edits[artefact.path];
    if (!edit) continue;
    const bytes = edit(files.get(artefact.digest) ?? Buffer.alloc(0));
    Object.assign(artefact, { digest: digestOf(bytes), size: bytes.length });
    files.set(artefact.digest, bytes);
  }
  return { manifest: ModelManifest.parse(manifest), files };
}

/** The manifest as a file. */
export const bytesOf = (manifest: ModelManifest) => Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);

/** Artefacts, manifest, release, pointer. Answers the digest of the manifest. */
export async function publish(put: Put, { manifest, files }: TestModel, bytes = bytesOf(manifest)): Promise<string> {
  for (const [digest, file] of files) await put(artefactKey(digest), file);
  const digest = digestOf(bytes);
  await put(manifestKey(digest), bytes);
  await point(put, manifest.name, digest);
  return digest;
}

/** Moves the pointer and nothing else: a rollback. `previous`: digest of the release before. */
export async function point(put: Put, name: string, manifest: string, previous: string | null = null): Promise<string> {
  const moved_at = new Date().toISOString();
  const release: ModelRelease = {
    name,
    action: 'publish',
    manifest,
    moved_at,
    previous,
    reasons: ['a test'],
    metrics: {},
    dev_data: null,
  };
  const body = Buffer.from(JSON.stringify(release));
  await put(releaseKey(digestOf(body)), body);
  const pointer: ModelPointer = { name, manifest, release: digestOf(body), moved_at };
  await put(currentKey(name), Buffer.from(JSON.stringify(pointer)));
  return pointer.release;
}

function artefactsOf({ text, static: fast, image }: ModelManifest): Artefact[] {
  const graphs = [text.graph, image.graph].flatMap(({ file, weights }) => (weights ? [file, weights.file] : [file]));
  return [text.tokenizer.vocabulary, text.table.file, fast.table.file, ...graphs];
}
