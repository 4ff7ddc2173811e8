// Plans a recipe against the runs of a bucket: the one plan of the submitting command, its status and the schedule.

import type { ObjectStore } from '../../../api/registry/store.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { dataPrefix, PREFIXES, requestKey } from '../../../contracts/src/keys.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import { TrainingRequest } from '../../../contracts/src/training/pipeline.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { type ArraySizes, arraySizes } from '../plan/array-size.ts';
import { createPlan, type Plan } from '../plan/plan.ts';
import { newerData, readDataset } from './dataset.ts';
import type { StoredRuns } from './store.ts';

export interface StoredPlanOptions {
  recipe: Recipe;
  /** Digest of the source that each stage executes. */
  code: Readonly<Record<StageName, string>>;
  /** Digests of the data: of all files, and of those behind each part of what `prepare` makes of them. */
  data: { digest: string; parts: Readonly<Record<string, string>> };
  /** The folders of weights that the recipe names, by path. */
  folders?: Readonly<Record<string, { digest: string; file: string | null }>> | undefined;
  /** By stage, the children of its array job. */
  arrays?: ArraySizes | undefined;
  /** The bucket of data and runs, and what is finished in it. */
  store: ObjectStore;
  runs: StoredRuns;
}

/** Data and weights count as uploaded: their digests say where they are stored. */
export function planStoredRuns({
  recipe,
  code,
  data,
  folders = {},
  arrays = {},
  store,
  runs,
}: StoredPlanOptions): Plan {
  return createPlan(recipe, {
    code,
    data: { ...data, uri: dataUri(store, data.digest) },
    folders: new Map(
      Object.entries(folders).map(([path, { digest, file }]) => [path, { digest, file, uri: dataUri(store, digest) }]),
    ),
    runs: `${store.uri}/${PREFIXES.runs}`,
    arrays,
    finished: runs.finished,
  });
}

/** What to do where a recipe was never submitted. */
export const neverSubmitted = (name: string): string =>
  `${name} was never submitted: npm run train -- recipes/${name}.json --on aws does it`;

/** What was last submitted under a recipe's name, with the data that was pushed since. Throws a UserError where nothing was. */
export async function readRequest(name: string, store: ObjectStore): Promise<TrainingRequest> {
  const request = await findRequest(name, store);
  if (request === undefined) throw new UserError(neverSubmitted(name));
  return request;
}

/** The same; undefined where nothing was submitted. */
export async function findRequest(name: string, store: ObjectStore): Promise<TrainingRequest | undefined> {
  const request = await findSubmitted(name, store);
  const data = request && newerData(await readDataset(name, store), request);
  if (request === undefined || data === undefined) return request;
  const { digest, parts, tars } = data;
  return { ...request, data: { uri: dataUri(store, digest), digest, parts }, arrays: arraySizes(request.recipe, tars) };
}

/** The request as it was written by the submission; undefined where there is none. */
export async function findSubmitted(name: string, store: ObjectStore): Promise<TrainingRequest | undefined> {
  const object = await store.get(requestKey(name));
  if (object === undefined) return undefined;
  const parsed = TrainingRequest.safeParse(jsonIn(await object.text()));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UserError(
    `the last request for ${name} is of another version (${issue?.path.join('.')}: ${issue?.message}): submit the recipe again`,
  );
}

/** The folder of data with that digest in a bucket, whether it is uploaded yet or not. */
export function dataUri(store: ObjectStore, digest: string): string {
  return `${store.uri}/${dataPrefix(digest)}`;
}
