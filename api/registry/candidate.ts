// A trained model before it is published: what its finished runs of `export` and `evaluate` say of it, verified.
import { FILES, isNamed } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { TrainingReport } from '../../contracts/src/training/job.ts';
import { sha256 } from './digest.ts';
import { RegistryError } from './errors.ts';
import type { Candidate } from './gate.ts';
import { parseDocument } from './read.ts';
import type { ObjectReader, StoredObject } from './store.ts';

/** A finished `export` run as the gate and the publisher see it. */
export interface ExportedModel extends Candidate {
  run: ObjectReader;
  /** Folder of the manifest inside the run, with a slash at the end; the manifest's paths are relative to it. */
  base: string;
  /** The manifest file. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** What publishing needs of a model: one that was exported and evaluated, or one that came from elsewhere. */
export type Publishable = Pick<ExportedModel, 'run' | 'base' | 'bytes' | 'digest' | 'manifest'> & {
  evaluated: Pick<TrainingReport, 'metrics'>;
  /** Null where nothing was measured on a dev split. */
  dev_data: string | null;
};

/** Reads what two finished runs say of a model; everything is checked against its digest. */
export async function readCandidate(
  run: ObjectReader,
  evaluation: ObjectReader,
  dev_data: string,
): Promise<ExportedModel> {
  const exported = await readReportOf(run);
  const evaluated = await readReportOf(evaluation);
  const found = Object.values(exported.artefacts).find(({ path }) => isNamed(path, FILES.manifest));
  if (found === undefined) throw new RegistryError(`${run.uri}: the report of export names no ${FILES.manifest}`);
  const bytes = await (await findSized(run, found)).bytes();
  if ((await sha256(bytes)) !== found.digest) throw notItsDescriptor(run, found.path);
  const manifest = parseDocument(ModelManifest, new TextDecoder().decode(bytes), `${run.uri}/${found.path}`);
  const base = found.path.slice(0, -FILES.manifest.length);
  return { run, base, bytes, digest: found.digest, manifest, exported, evaluated, dev_data };
}

/** A file that the manifest names, verified: its content is read once for that, and once more by the caller. */
export async function openArtefact(
  { run, base }: Pick<ExportedModel, 'run' | 'base'>,
  artefact: Artefact,
): Promise<StoredObject> {
  const path = `${base}${artefact.path}`;
  const object = await findSized(run, { ...artefact, path });
  if ((await object.digest()) !== artefact.digest) throw notItsDescriptor(run, path);
  return findSized(run, { ...artefact, path });
}

async function findSized(run: ObjectReader, { path, size }: Artefact): Promise<StoredObject> {
  const object = await run.get(path);
  if (object === undefined) throw new RegistryError(`${run.uri}/${path} is missing`);
  if (object.size !== size) {
    object.close();
    throw notItsDescriptor(run, path);
  }
  return object;
}

function notItsDescriptor({ uri }: ObjectReader, path: string): RegistryError {
  return new RegistryError(`${uri}/${path} is not the file that its descriptor names: it was altered or cut short`);
}

async function readReportOf(run: ObjectReader): Promise<TrainingReport> {
  const object = await run.get(FILES.report);
  if (object === undefined) throw new RegistryError(`${run.uri} holds no ${FILES.report}: the run is not finished`);
  const what = `${run.uri}/${FILES.report}`;
  const report = parseDocument(TrainingReport, await object.text(), what);
  if (report.status !== 'succeeded') throw new RegistryError(`${what} says ${report.status}`);
  return report;
}
