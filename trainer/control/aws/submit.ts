// Submits what is missing of a recipe to AWS Batch. The plan is the one that runs locally.

import { encodeDocument, type ObjectStore } from '../../../api/registry/store.ts';
import { requestKey } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import { TrainingRequest } from '../../../contracts/src/training/pipeline.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import type { ArraySizes } from '../plan/array-size.ts';
import type { PastRun } from '../plan/estimate.ts';
import { arrayStage, toPipelineStage } from '../plan/pipeline-plan.ts';
import type { Plan, PlannedJob } from '../plan/plan.ts';
import type { DataIndex } from '../recipe/data-index.ts';
import type { FolderIndex } from '../recipe/file-digests.ts';
import { readRuns, writeJob } from '../run/store.ts';
import { dataUri, planStoredRuns } from '../run/stored-plan.ts';
import { type AwsClients, findArray, findJob, isActive } from './clients.ts';
import { type UploadProgress, uploadData } from './upload.ts';

export interface PlanOnAwsOptions {
  recipe: Recipe;
  /** Digest of the source that each stage executes. */
  code: Readonly<Record<StageName, string>>;
  data: Pick<DataIndex, 'digest' | 'parts'>;
  /** The folders of weights that the recipe names, by path. */
  folders?: ReadonlyMap<string, Pick<FolderIndex, 'digest' | 'file'>>;
  /** By stage, the children of its array job. */
  arrays?: ArraySizes;
  /** The training bucket. */
  store: ObjectStore;
}

/** Plans against the runs in the bucket, before anything is uploaded; `past` are its finished runs. */
export async function planOnAws(options: PlanOnAwsOptions): Promise<{ plan: Plan; past: PastRun[] }> {
  const runs = await readRuns(options.store, options.recipe.name);
  return { plan: planStoredRuns({ ...options, folders: digestsByPath(options.folders), runs }), past: runs.past };
}

export interface Submission {
  recipe: Recipe;
  code: Readonly<Record<StageName, string>>;
  data: Omit<DataIndex, 'tars'>;
  /** The folder of the data on this machine. */
  folder: string;
  /** The folders of weights that the recipe names, by path. */
  folders?: ReadonlyMap<string, FolderIndex>;
  arrays?: ArraySizes;
  jobs: readonly PlannedJob[];
}

/**
 * Uploads data and weights, records the request and submits what is missing, each job after those it needs. An active job of
 * the same name is the same work: it is waited for and not submitted again. Repeating the call is safe at any point.
 */
export async function submitRecipe(
  { recipe, code, data, folder, folders = new Map(), arrays = {}, jobs }: Submission,
  { deployment, store, batch, emit }: Omit<AwsClients, 'logs'>,
): Promise<void> {
  /** The id of the array job that a job has to wait for. Elements that are done are not done again, whichever job did them. */
  const submitArray = async (planned: PlannedJob, needs: readonly string[]): Promise<string[]> => {
    const [array] = arrayStage(planned, deployment);
    if (array === undefined) return [];
    const before = await findArray(planned, { deployment, batch });
    // What is missing after one that has succeeded, the job itself does.
    if (before?.status === 'succeeded') return [];
    return [isActive(before) ? before.job_id : await batch.submit(array, needs)];
  };

  const onProgress = (progress: UploadProgress): void => emit({ event: 'uploading', ...progress });
  await uploadData(data, folder, { store, onProgress });
  for (const weights of folders.values()) await uploadData(weights, weights.root, { store, onProgress });
  const submitted_at = new Date().toISOString();
  const request = {
    schema_version: SCHEMA_VERSION,
    recipe,
    code,
    data: { uri: dataUri(store, data.digest), digest: data.digest, parts: data.parts },
    ...(folders.size === 0 ? {} : { folders: digestsByPath(folders) }),
    ...(Object.keys(arrays).length === 0 ? {} : { arrays }),
    submitted_at,
  };
  await store.put(requestKey(recipe.name), encodeDocument(TrainingRequest.parse(request)));
  const ids = new Map<string, string>();
  for (const planned of jobs) {
    if (planned.report !== undefined) continue;
    const { job } = planned;
    const stage = toPipelineStage(planned, deployment);
    const before = await findJob(planned, { deployment, batch });
    if (before?.status === 'succeeded' && (await hasFinished(planned, store))) {
      // It ended after the plan was made.
      emit({ event: 'reused', id: job.id, stage: job.config.stage, output: job.output });
      continue;
    }
    const already = isActive(before);
    if (!already) await writeJob(store, planned);
    const needs = planned.needs.flatMap((id) => ids.get(id) ?? []);
    const submitted = async (): Promise<string> =>
      batch.submit(stage, [...needs, ...(await submitArray(planned, needs))]);
    const job_id = isActive(before) ? before.job_id : await submitted();
    ids.set(job.id, job_id);
    emit({ event: 'submitted', id: job.id, stage: job.config.stage, job_id, job_name: stage.job_name, already });
  }
}

/** Whether the job's report is in the bucket by now. */
async function hasFinished({ job }: PlannedJob, store: ObjectStore): Promise<boolean> {
  return (await readRuns(store, job.recipe)).finished.has(job.output);
}

/** What the request keeps of the folders: a schedule plans without seeing them. */
function digestsByPath(
  folders: ReadonlyMap<string, Pick<FolderIndex, 'digest' | 'file'>> = new Map(),
): Record<string, { digest: string; file: string | null }> {
  return Object.fromEntries([...folders].map(([path, { digest, file }]) => [path, { digest, file }]));
}
