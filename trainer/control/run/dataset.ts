// The dataset of a recipe in the bucket: what its pointer names, and whether it is newer than the last submission.

import type { ObjectStore } from '../../../api/registry/store.ts';
import { DatasetPointer } from '../../../contracts/src/data/dataset.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { datasetKey } from '../../../contracts/src/keys.ts';
import type { TrainingRequest } from '../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

export interface StoredDataset {
  pointer: DatasetPointer;
  /** Of the pointer's object: the condition of moving it. */
  etag: string;
}

/** Undefined where no data was pushed under that name. Throws a UserError for a pointer of another version. */
export async function readDataset(name: string, store: ObjectStore): Promise<StoredDataset | undefined> {
  const object = await store.get(datasetKey(name));
  if (object === undefined) return undefined;
  const parsed = DatasetPointer.safeParse(jsonIn(await object.text()));
  if (parsed.success) return { pointer: parsed.data, etag: object.etag };
  const [issue] = parsed.error.issues;
  throw new UserError(
    `the data of ${name} was pushed by another version (${issue?.path.join('.')}: ${issue?.message}): push it again`,
  );
}

/** What was pushed after the last submission, which otherwise names its own data. */
export function newerData(
  dataset: StoredDataset | undefined,
  { submitted_at }: Pick<TrainingRequest, 'submitted_at'>,
): (DatasetPointer & { parts: Record<string, string> }) | undefined {
  if (dataset === undefined) return undefined;
  const { pointer } = dataset;
  const { parts, moved_at } = pointer;
  // Without its recipe nothing could tell its parts: such a push is older than every submission.
  return parts === null || Date.parse(moved_at) <= Date.parse(submitted_at) ? undefined : { ...pointer, parts };
}
