// Models to publish, and stores to publish them into with the trainer's own commands, for tests of a registry's readers.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publishModel } from '../../api/registry/publish.ts';
import { readPointer } from '../../api/registry/read.ts';
import { bytesOf, type ObjectReader, type ObjectStore, objectOf } from '../../api/registry/store.ts';
import { sha256Of } from '../../api/registry/stores/hash.ts';
import { openR2Store, type R2Binding } from '../../api/registry/stores/r2.ts';
import { FILES } from '../../contracts/src/keys.ts';
import { type Artefact, artefactsIn } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { TrainingReport } from '../../contracts/src/training/job.ts';

/** `bytes`: the manifest file; `files`: what it names, by digest. */
export interface TestModel {
  manifest: ModelManifest;
  bytes: Buffer;
  files: Map<string, Buffer>;
}

export const digestOf = sha256Of;

export async function readModel(folder: string): Promise<TestModel> {
  const bytes = await readFile(join(folder, 'manifest.json'));
  const manifest = ModelManifest.parse(JSON.parse(bytes.toString()));
  const files = new Map<string, Buffer>();
  for (const { path, digest } of artefactsIn(manifest)) {
    // A tiny model's manifest names files that it does not have.
    files.set(digest, await readFile(join(folder, path)).catch(() => Buffer.alloc(0)));
  }
  return { manifest, bytes, files };
}

/** The files of a model under their paths, as its folder holds them. */
export function filesByPath({ manifest, bytes, files }: TestModel): Map<string, Buffer> {
  const named = artefactsIn(manifest).map(({ path, digest }) => [path, files.get(digest) ?? Buffer.alloc(0)] as const);
  return new Map([[FILES.manifest, bytes], ...named]);
}

/** Another model: `changes` of the manifest, and what each file, by its path, is made into. Descriptors follow. */
export function changed(
  model: TestModel,
  changes: Partial<ModelManifest>,
  edits: Record<string, (bytes: Buffer) => Buffer> = {},
): TestModel {
  const files = new Map<string, Buffer>();
  const edited = edit({ ...model.manifest, ...changes }, ({ path, digest }) => {
    const before = model.files.get(digest) ?? Buffer.alloc(0);
    const bytes = edits[path]?.(before) ?? before;
    files.set(digestOf(bytes), bytes);
    return { path, digest: digestOf(bytes), size: bytes.length };
  });
  const manifest = ModelManifest.parse(edited);
  return { manifest, bytes: Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`), files };
}

/** A copy of a document with every descriptor in it replaced. */
function edit(value: unknown, replace: (artefact: Artefact) => Artefact): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const [artefact] = 'digest' in value && 'path' in value ? artefactsIn(value) : [];
  if (artefact) return replace(artefact);
  if (Array.isArray(value)) return value.map((item) => edit(item, replace));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, edit(item, replace)]));
}

/** Publishes as `npm run model -- publish` does, whatever the gate would say. Answers the manifest's digest. */
export async function publish(registry: ObjectStore, model: TestModel): Promise<string> {
  const { manifest, bytes } = model;
  const byPath = filesByPath(model);
  const run: ObjectReader = {
    uri: 'memory:',
    get: async (key) => objectOf(byPath.get(key) ?? Buffer.alloc(0)),
  };
  const report: TrainingReport = {
    id: 'test',
    stage: 'export',
    status: 'succeeded',
    started_at: '2026-01-01T00:00:00Z',
    seconds: 0,
    device: 'cpu',
    metrics: {},
    artefacts: {},
    notes: [],
  };
  const digest = digestOf(bytes);
  const candidate = {
    run,
    base: '',
    bytes: new Uint8Array(bytes),
    digest,
    manifest,
    exported: report,
    evaluated: report,
    dev_data: digest,
  };
  const incumbent = (await readPointer(registry, manifest.name))?.pointer.manifest ?? null;
  await publishModel(registry, candidate, { decision: 'publish', reasons: ['a test'], incumbent });
  return digest;
}

/** For one writer. What is there already is not read back, as a publication would: that is megabytes through a proxy. */
export function bucketStore(bucket: R2Binding): ObjectStore {
  const store = openR2Store(bucket);
  return {
    ...store,
    async put(key, body, condition) {
      await store.put(key, body, condition);
      return true;
    },
  };
}

/** The same store, but what is written under `key` is damaged on its way. */
export function damaging(store: ObjectStore, key: string): ObjectStore {
  return {
    ...store,
    async put(at, body, condition) {
      const bytes = await bytesOf(body);
      if (at === key) bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      return store.put(at, bytes, condition);
    },
  };
}
