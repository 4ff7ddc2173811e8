// Publishing and rolling back: artefacts by digest, then the manifest, then the release, and the pointer last.
import { basename, dirname, posix } from 'node:path';
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { ModelPointer } from '../../contracts/src/model/pointer.ts';
import type { ModelRelease } from '../../contracts/src/model/release.ts';
import { TrainingReport } from '../../contracts/src/training/job.ts';
import type { GateDecision, Published } from '../../contracts/src/training/pipeline.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { artefactsIn, sha256 } from './artefacts.ts';
import type { Candidate } from './gate.ts';
import { readHistory, readManifest, readPointer, standing } from './history.ts';
import { encodeDocument, type ObjectStore } from './store.ts';

/** A finished `export` run as the gate and the publisher see it. */
export interface ExportedModel extends Candidate {
  run: ObjectStore;
  /** Folder of the manifest inside the run; the manifest's paths are relative to it. */
  base: string;
  bytes: Buffer;
}

/** Reads what two finished runs say of a model; everything is checked against its digest. */
export async function readCandidate(
  run: ObjectStore,
  evaluation: ObjectStore,
  dev_data: string,
): Promise<ExportedModel> {
  const exported = await readReportOf(run);
  const evaluated = await readReportOf(evaluation);
  const found = Object.values(exported.artefacts).find(({ path }) => basename(path) === 'manifest.json');
  if (found === undefined) throw new UserError(`${run.uri}: the report of export names no manifest.json`);
  const bytes = await readArtefact(run, found);
  const parsed = ModelManifest.safeParse(JSON.parse(bytes.toString('utf8')));
  if (!parsed.success) throw new UserError(`${run.uri}/${found.path} breaks the contract: ${parsed.error.message}`);
  const base = dirname(found.path);
  return { run, base, bytes, digest: sha256(bytes), manifest: parsed.data, exported, evaluated, dev_data };
}

export interface PublishOptions {
  /** What moved the pointer at: ISO 8601. */
  now?: () => string;
  /** Called before each file with what is known: how many, and how large. */
  onArtefact?: (artefact: Artefact, number: number, of: number) => void;
}

/**
 * Publishes what the gate let through. Every step can be repeated: what is there already is left alone, and the pointer
 * moves only from the model that the gate compared with. Throws a UserError for a rejected candidate, an altered file
 * or a pointer that moved meanwhile; the registry then still answers with the old model.
 */
export async function publishModel(
  registry: ObjectStore,
  candidate: ExportedModel,
  { decision, reasons, incumbent }: Pick<GateDecision, 'decision' | 'reasons' | 'incumbent'>,
  { now = () => new Date().toISOString(), onArtefact }: PublishOptions = {},
): Promise<Published> {
  const { manifest, digest, run, base, bytes, evaluated, dev_data } = candidate;
  if (decision !== 'publish')
    throw new UserError(`the gate rejected ${manifest.name} ${manifest.version}: ${reasons.join('; ')}`);
  const files = artefactsIn(manifest);
  for (const [index, artefact] of files.entries()) {
    onArtefact?.(artefact, index + 1, files.length);
    const body = await readArtefact(run, { ...artefact, path: posix.join(base, artefact.path) });
    await putByDigest(registry, artefactKey(artefact.digest), body);
  }
  await putByDigest(registry, manifestKey(digest), bytes);
  const release = { name: manifest.name, manifest: digest, reasons, metrics: evaluated.metrics, dev_data };
  return movePointer(registry, { ...release, action: 'publish', moved_at: now() }, incumbent);
}

/** Which model to go back to: by default the one before the current one. Returns its publication. */
export function rollbackTarget(history: readonly ModelRelease[], to?: string): ModelRelease {
  const [current, ...before] = standing(history).toReversed();
  if (current === undefined) throw new UserError('nothing was ever published under this name');
  const target =
    to === undefined ? before[0] : history.find(({ action, manifest }) => action === 'publish' && manifest === to);
  if (target === undefined)
    throw new UserError(
      to === undefined ? 'there is no model before the current one' : `${to} was never published under this name`,
    );
  if (target.manifest === current.manifest) throw new UserError(`${target.manifest} is current already`);
  return target;
}

/** Moves the pointer back: nothing is copied, nothing is deleted. */
export async function rollback(
  registry: ObjectStore,
  model: string,
  { to, reason, now = () => new Date().toISOString() }: { to?: string | undefined; reason: string; now?: () => string },
): Promise<Published> {
  const found = await readPointer(registry, model);
  const target = rollbackTarget(await readHistory(registry, model), to);
  // Its files were verified when it was published; a manifest that is gone would leave readers with nothing.
  await readManifest(registry, target.manifest);
  const { name, manifest, metrics, dev_data } = target;
  const move = { name, manifest, metrics, dev_data, reasons: [reason], action: 'rollback' as const, moved_at: now() };
  return movePointer(registry, move, found?.pointer.manifest ?? null);
}

async function movePointer(
  registry: ObjectStore,
  move: Omit<ModelRelease, 'previous'>,
  from: string | null,
): Promise<Published> {
  const before = await readPointer(registry, move.name);
  const moved = new UserError(
    `the pointer of ${move.name} moved meanwhile: decide again, nothing was published over the other model`,
  );
  if ((before?.pointer.manifest ?? null) !== from) throw moved;
  const release = encodeDocument({ ...move, previous: before?.pointer.release ?? null } satisfies ModelRelease);
  const digest = sha256(release);
  await putByDigest(registry, releaseKey(digest), release);
  const { name, manifest, moved_at } = move;
  const pointer = encodeDocument({ name, manifest, release: digest, moved_at } satisfies ModelPointer);
  if (!(await registry.put(currentKey(name), pointer, before === null ? 'absent' : { etag: before.etag }))) throw moved;
  return { name, manifest, moved_at };
}

/** Keys say what the bytes are: an object that is there is the right one, or was altered and is written again. */
async function putByDigest(registry: ObjectStore, key: string, body: Uint8Array): Promise<void> {
  if (await registry.put(key, body, 'absent')) return;
  const there = await registry.get(key);
  if (there === null || sha256(there.body) !== sha256(body)) await registry.put(key, body);
}

async function readReportOf(run: ObjectStore): Promise<TrainingReport> {
  const object = await run.get('report.json');
  if (object === null) throw new UserError(`${run.uri} holds no report.json: the run is not finished`);
  const parsed = TrainingReport.safeParse(JSON.parse(object.body.toString('utf8')));
  if (!parsed.success) throw new UserError(`${run.uri}/report.json breaks the contract: ${parsed.error.message}`);
  if (parsed.data.status !== 'succeeded') throw new UserError(`${run.uri}/report.json says ${parsed.data.status}`);
  return parsed.data;
}

async function readArtefact(run: ObjectStore, { path, digest, size }: Artefact): Promise<Buffer> {
  const object = await run.get(path);
  if (object === null) throw new UserError(`${run.uri}/${path} is missing`);
  if (object.body.length !== size || sha256(object.body) !== digest)
    throw new UserError(`${run.uri}/${path} is not the file that its descriptor names: it was altered or cut short`);
  return object.body;
}
