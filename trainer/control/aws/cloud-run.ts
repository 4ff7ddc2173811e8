// A recipe on AWS Batch: what is missing is submitted, watched, read and ended. The plan is the one that runs locally.

import { encodeDocument, type ObjectStore } from '../../../api/registry/store.ts';
import { JOB_CLASSES } from '../../../contracts/src/job-classes.ts';
import { PREFIXES, requestKey } from '../../../contracts/src/keys.ts';
import { jobClassOf, localFolderOf, STAGE_NAMES, type StageName } from '../../../contracts/src/stages.ts';
import { TrainingRequest } from '../../../contracts/src/training/pipeline.ts';
import { configOf, type Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { estimateSeconds } from '../plan/estimate.ts';
import { jobName, toPipelineStage } from '../plan/pipeline-plan.ts';
import { createPlan, type Plan, type PlannedJob } from '../plan/plan.ts';
import { stageCost } from '../plan/prices.ts';
import type { DataIndex } from '../recipe/data-index.ts';
import { type Emit, type StagePlan, toStagePlan } from '../run/events.ts';
import type { PastRun } from '../run/folder.ts';
import { readRuns, type StoredRuns, writeJob } from '../run/store.ts';
import { type BatchJob, type BatchJobs, CANCELLED } from './batch.ts';
import type { Cloud } from './deployment.ts';
import type { JobLogs } from './logs.ts';
import { dataUri, uploadData } from './upload.ts';

export interface CloudDoors {
  cloud: Cloud;
  /** The training bucket. */
  store: ObjectStore;
  batch: BatchJobs;
  logs: JobLogs;
  emit: Emit;
}

type Code = Readonly<Record<StageName, string>>;

/** Plans against the runs in the bucket. The data counts as uploaded: its digest says where it will lie. */
export async function planInCloud(
  recipe: Recipe,
  code: Code,
  dataDigest: string,
  store: ObjectStore,
): Promise<{ plan: Plan; past: PastRun[] }> {
  refuseLocalFolders(recipe);
  const runs = await readRuns(store, recipe.name);
  return { plan: planFrom(recipe, code, dataDigest, store, runs), past: runs.past };
}

/** The plan's rows with hours and dollars; `past`: finished runs anywhere, of which those on the like of this device count. */
export function pricedStages(jobs: readonly PlannedJob[], past: readonly PastRun[]): StagePlan[] {
  return jobs.map((planned) => {
    if (planned.report !== null) return toStagePlan(planned, null);
    const jobClass = jobClassOf(planned.job.config.stage);
    const device = JOB_CLASSES[jobClass].gpus === 0 ? 'cpu' : 'cuda';
    const seconds = estimateSeconds(
      planned.job,
      past.filter((run) => run.report.device.startsWith(device)),
    );
    return toStagePlan(planned, seconds, stageCost(jobClass, seconds));
  });
}

/**
 * Uploads the data, records the request and submits what is missing, each job after those it needs. A job of the same
 * name that is still active is the same work: it is waited for and not submitted again. Repeating this is safe anywhere.
 */
export async function submitRecipe(
  {
    recipe,
    code,
    data,
    folder,
    jobs,
  }: { recipe: Recipe; code: Code; data: DataIndex; folder: string; jobs: readonly PlannedJob[] },
  { cloud, store, batch, emit }: Omit<CloudDoors, 'logs'>,
): Promise<void> {
  await uploadData(store, data, folder, (progress) => emit({ event: 'uploading', ...progress }));
  const submitted_at = new Date().toISOString();
  const request = { recipe, code, data: { uri: dataUri(store, data.digest), digest: data.digest }, submitted_at };
  await store.put(requestKey(recipe.name), encodeDocument(TrainingRequest.parse(request)));
  const ids = new Map<string, string>();
  for (const planned of jobs) {
    if (planned.report !== null) continue;
    const { job } = planned;
    const stage = toPipelineStage(planned, cloud);
    const before = await batch.find(stage.job_queue, stage.job_name);
    const isActive = before !== null && (before.status === 'queued' || before.status === 'running');
    if (!isActive) await writeJob(store, planned);
    const dependsOn = planned.needs.flatMap((id) => ids.get(id) ?? []);
    const job_id = isActive ? before.job_id : await batch.submit(stage, dependsOn);
    ids.set(job.id, job_id);
    emit({
      event: 'submitted',
      id: job.id,
      stage: job.config.stage,
      job_id,
      job_name: stage.job_name,
      already: isActive,
    });
  }
}

/** Prints a stage's log; with `follow` until the job has ended or `stop` aborts. */
export async function cloudLogs(
  name: string,
  id: string,
  { follow, stop, doors }: { follow: boolean; stop: AbortSignal; doors: CloudDoors },
): Promise<void> {
  const { plan } = await submittedPlan(name, doors.store);
  const planned = plan.jobs.find(({ job }) => job.id === id);
  if (planned === undefined) throw new UserError(`no stage ${id} in ${name}; it has ${idsOf(plan)}`);
  let token: string | null = null;
  let stream: string | null = null;
  for (let isFirst = true; ; isFirst = false) {
    const job = await findJob(planned, doors);
    if (job === null && isFirst) throw new UserError(`${id} was never submitted, or so long ago that Batch forgot it`);
    if (job !== null && job.log_stream !== stream) {
      // Every attempt has a stream of its own.
      stream = job.log_stream;
      token = null;
    }
    if (stream !== null) {
      const { lines, token: next } = await doors.logs.read(stream, token);
      for (const line of lines) doors.emit({ event: 'log', id, ...line });
      const isDrained = next === token || next === null;
      token = next;
      if (!isDrained) continue;
    }
    const isOver = job === null || (job.status !== 'queued' && job.status !== 'running');
    if (!follow || isOver || stop.aborted) return;
    await pause(2000, stop);
  }
}

/** Ends every active job of a recipe, or one. Those that wait for it end with it. */
export async function cancelRecipe(
  name: string,
  only: string | undefined,
  who: string,
  doors: CloudDoors,
): Promise<number> {
  const { plan } = await submittedPlan(name, doors.store);
  const wanted = plan.jobs.filter(({ job }) => only === undefined || job.id === only);
  if (wanted.length === 0) throw new UserError(`no stage ${only} in ${name}; it has ${idsOf(plan)}`);
  let ended = 0;
  // Readers first: a job whose input was cancelled would be reported as failed by its dependency.
  for (const planned of wanted.toReversed()) {
    const job = await findJob(planned, doors);
    if (job === null || (job.status !== 'queued' && job.status !== 'running')) continue;
    await doors.batch.terminate(job.job_id, `${CANCELLED} ${who}`);
    doors.emit({ event: 'cancelled', id: planned.job.id, job_id: job.job_id });
    ended += 1;
  }
  return ended;
}

/** What the last submission of a recipe asked for, planned against what has finished since. */
export async function submittedPlan(
  name: string,
  store: ObjectStore,
): Promise<{ request: TrainingRequest; plan: Plan }> {
  const request = await readRequest(name, store);
  const runs = await readRuns(store, name);
  return { request, plan: planFrom(request.recipe, request.code, request.data.digest, store, runs) };
}

/** What is trained under a recipe's name. Throws a UserError where it was never submitted. */
export async function readRequest(name: string, store: ObjectStore): Promise<TrainingRequest> {
  const object = await store.get(requestKey(name));
  if (object === null)
    throw new UserError(`${name} was never submitted: npm run train -- recipes/${name}.json --on aws does it`);
  const parsed = TrainingRequest.safeParse(JSON.parse(object.body.toString('utf8')));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UserError(
    `the last request for ${name} is of another version (${issue?.path.join('.')}: ${issue?.message}): submit the recipe again`,
  );
}

/** One plan for the command, for its status and for the schedule: all three address the same runs. */
export function planFrom(recipe: Recipe, code: Code, dataDigest: string, store: ObjectStore, runs: StoredRuns): Plan {
  return createPlan(recipe, {
    code,
    data: { uri: dataUri(store, dataDigest), digest: dataDigest },
    runs: `${store.uri}/${PREFIXES.runs}`,
    finished: runs.finished,
  });
}

/** The newest Batch job of a planned one; null where none is remembered. */
export function findJob(planned: PlannedJob, { cloud, batch }: CloudDoors): Promise<BatchJob | null> {
  return batch.find(cloud.queues[jobClassOf(planned.job.config.stage)], jobName(planned));
}

/** A container sees the bucket and its own image, no folder of this machine. */
function refuseLocalFolders(recipe: Recipe): void {
  for (const stage of STAGE_NAMES) {
    const found = localFolderOf(configOf(recipe, stage));
    if (found === undefined) continue;
    throw new UserError(`${stage}.${found.sentence}, which a container does not see: ${found.instead}, or train here`);
  }
}

function idsOf(plan: Plan): string {
  return plan.jobs.map(({ job }) => job.id).join(', ');
}

function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    stop.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
