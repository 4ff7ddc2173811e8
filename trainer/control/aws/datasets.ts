// Pushes data under a recipe's name: files that are missing, then the index, and the pointer last. Lists what was pushed.

import { encodeDocument, type ObjectStore } from '../../../api/registry/store.ts';
import { DataIndex as DataIndexDocument } from '../../../contracts/src/data/data-index.ts';
import type { DatasetPointer } from '../../../contracts/src/data/dataset.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { dataPrefix, datasetKey, FILES, fileIn, listPrefix, recipeOfDataset } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import type { TrainingRequest } from '../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { DataIndex } from '../recipe/data-index.ts';
import { newerData, readDataset, type StoredDataset } from '../run/dataset.ts';
import { findSubmitted } from '../run/stored-plan.ts';
import { type Uploaded, type UploadProgress, uploadData } from './upload.ts';

export interface PushOptions {
  /** Name of the dataset: that of its recipe. */
  name: string;
  /** The files by a recipe; `parts` null: without one. */
  data: Pick<DataIndex, 'digest' | 'files' | 'tars'> & { parts: DataIndex['parts'] | null };
  /** The folder of the files on this machine. */
  folder: string;
  store: ObjectStore;
  onProgress(progress: UploadProgress): void;
  now?: (() => Date) | undefined;
}

export interface Pushed {
  pointer: DatasetPointer;
  sent: Uploaded;
  /** Whether the pointer was moved. Where it names this data already, nothing is written and nothing starts. */
  moved: boolean;
  /** Whether the recipe was submitted: without that the pipeline has nothing to train. */
  submitted: boolean;
}

/**
 * Uploads what is missing and moves the pointer. The pointer's write is conditional and comes last, so that an interrupted
 * push leaves the former data current. Throws a UserError where another push moved it meanwhile.
 */
export async function pushDataset(options: PushOptions): Promise<Pushed> {
  const { name, data, folder, store, onProgress, now = () => new Date() } = options;
  const before = await readDataset(name, store);
  const submitted = await findSubmitted(name, store);
  const sent = await uploadData(data, folder, { store, onProgress });
  const at = now();
  // After a submission of other data, the same push has to count again.
  const counts =
    submitted === undefined || Date.parse(before?.pointer.moved_at ?? '') > Date.parse(submitted.submitted_at);
  if (before !== undefined && isSame(before.pointer, data) && counts)
    return { pointer: before.pointer, sent, moved: false, submitted: submitted !== undefined };
  const pointer: DatasetPointer = {
    schema_version: SCHEMA_VERSION,
    name,
    digest: data.digest,
    previous: before?.pointer.digest ?? null,
    parts: data.parts,
    tars: data.tars,
    files: data.files.length,
    bytes: data.files.reduce((sum, { size }) => sum + size, 0),
    moved_at: at.toISOString(),
  };
  const condition = before === undefined ? 'absent' : { etag: before.etag };
  if (await store.put(datasetKey(name), encodeDocument(pointer), condition))
    return { pointer, sent, moved: true, submitted: submitted !== undefined };
  throw new UserError(
    `another push moved the data of ${name} meanwhile: run the same command again if yours is the one that should count`,
  );
}

function isSame({ digest, parts }: DatasetPointer, data: PushOptions['data']): boolean {
  const text = (of: Record<string, string> | null): string => JSON.stringify(Object.entries(of ?? {}).sort());
  return digest === data.digest && text(parts) === text(data.parts);
}

/** The pointer of every dataset, by name. */
export async function listDatasets(store: ObjectStore): Promise<DatasetPointer[]> {
  const names = (await store.list(listPrefix('datasets'))).flatMap(({ key }) => recipeOfDataset(key) ?? []);
  const found = await Promise.all(names.map((name) => readDataset(name, store)));
  return found.flatMap((dataset) => (dataset === undefined ? [] : [dataset.pointer]));
}

export interface ShownDataset {
  pointer: DatasetPointer;
  files: DataIndexDocument['files'];
  /** Whether the next execution of the pipeline trains on it, or on the data of a later submission. */
  state: 'counts' | 'not submitted' | 'a later submission has its own data' | 'pushed before its recipe: push again';
}

/** A dataset with its files. Throws a UserError that lists the names there are. */
export async function showDataset(name: string, store: ObjectStore): Promise<ShownDataset> {
  const dataset = await readDataset(name, store);
  if (dataset === undefined) {
    const names = (await listDatasets(store)).map((pointer) => pointer.name);
    throw new UserError(`no data was pushed as ${name}: there is ${names.length === 0 ? 'none' : names.join(', ')}`);
  }
  const { pointer } = dataset;
  const index = fileIn(dataPrefix(pointer.digest), FILES.dataIndex);
  const { files } = DataIndexDocument.parse(jsonIn((await (await store.get(index))?.text()) ?? ''));
  return { pointer, files, state: stateOf(dataset, await findSubmitted(name, store)) };
}

function stateOf(dataset: StoredDataset, submitted: TrainingRequest | undefined): ShownDataset['state'] {
  if (submitted === undefined) return 'not submitted';
  if (newerData(dataset, submitted) !== undefined) return 'counts';
  return dataset.pointer.parts === null
    ? 'pushed before its recipe: push again'
    : 'a later submission has its own data';
}
