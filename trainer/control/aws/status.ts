// Reads how far a recipe on AWS is: what the bucket holds, and what Batch says of the rest.

import { ELEMENTS } from '../../../contracts/src/data/shards.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import type { TrainingReport } from '../../../contracts/src/training/job.ts';
import type { PlannedJob } from '../plan/plan.ts';
import type { StageStatus } from '../run/events.ts';
import { createProgressClock, parseProgress } from '../run/progress.ts';
import { readRuns } from '../run/store.ts';
import type { BatchJob } from './batch.ts';
import { type AwsClients, findArray, findJob } from './clients.ts';
import type { JobLogs } from './logs.ts';
import { readSubmittedPlan } from './submitted-plan.ts';

/** The recipe as it was last submitted, planned again: finished, queued, running, failed or cancelled, stage by stage. */
export async function readStatus(name: string, clients: AwsClients): Promise<StageStatus[]> {
  const { request, plan } = await readSubmittedPlan(name, clients.store);
  const stages = await Promise.all(plan.jobs.map((planned) => stageStatus(planned, clients)));
  clients.emit({ event: 'status', recipe: name, submitted_at: request.submitted_at, stages });
  return stages;
}

async function stageStatus(planned: PlannedJob, clients: AwsClients): Promise<StageStatus> {
  const { job, report } = planned;
  const row = { id: job.id, stage: job.config.stage };
  if (report !== undefined) return finished(row, report);
  const array = await findArray(planned, clients);
  if (array?.children !== undefined && array.status !== 'succeeded') return arrayStatus(row, planned, array);
  const found = await findJob(planned, clients);
  if (found === undefined)
    return { ...row, status: null, job_id: null, reason: null, attempts: null, seconds: null, progress: null };
  if (found.status === 'succeeded') {
    // It may have ended after the bucket was read: only a second reading makes it a failure.
    const late = (await readRuns(clients.store, job.recipe)).finished.get(job.output);
    if (late !== undefined) return finished(row, late);
  }
  const status = found.status === 'succeeded' ? 'failed' : found.status;
  const reason = found.status === 'succeeded' ? 'it ended with 0 but its report is not in the bucket' : reasonOf(found);
  return {
    ...row,
    status,
    job_id: found.job_id,
    reason,
    attempts: found.attempts,
    seconds: found.started_at === undefined ? null : secondsBetween(found.started_at, found.stopped_at),
    progress: status === 'running' ? await progressOf(found, clients.logs) : null,
  };
}

/** While elements are done, a stage is as far as the children of its array job are. */
function arrayStatus(row: Pick<StageStatus, 'id' | 'stage'>, { job }: PlannedJob, array: BatchJob): StageStatus {
  const { children: { size, succeeded, failed } = { size: 0, succeeded: 0, failed: 0 } } = array;
  const logs = `${failed} of ${size} containers failed, their logs are ${job.output}/${ELEMENTS}/child-*-${FILES.log}; what is done stays`;
  return {
    ...row,
    status: array.status,
    job_id: array.job_id,
    reason: failed > 0 ? logs : (array.reason ?? null),
    attempts: null,
    seconds: array.started_at === undefined ? null : secondsBetween(array.started_at, array.stopped_at),
    progress: array.status === 'running' ? { step: succeeded, total: size, seconds_left: null } : null,
  };
}

function secondsBetween(started: string, ended: string | undefined): number {
  return ((ended === undefined ? Date.now() : Date.parse(ended)) - Date.parse(started)) / 1000;
}

function finished(row: Pick<StageStatus, 'id' | 'stage'>, { seconds }: TrainingReport): StageStatus {
  return { ...row, status: 'succeeded', job_id: null, reason: null, attempts: null, seconds, progress: null };
}

/** Batch's own words where it has some; for a container that ended by itself there is only its exit code. */
function reasonOf({ status, reason, exit_code }: BatchJob): string | null {
  if (status !== 'failed' || exit_code === undefined) return reason ?? null;
  return [reason, `exit ${exit_code}`].filter((part) => part !== undefined).join(', ');
}

/** The newest progress line of a running job, and the time left by the rate of the last ones. */
async function progressOf({ log_stream }: BatchJob, logs: JobLogs): Promise<StageStatus['progress']> {
  if (log_stream === undefined) return null;
  const clock = createProgressClock();
  let progress: StageStatus['progress'] = null;
  for (const { message } of await logs.tail(log_stream, 100)) {
    const line = parseProgress(message);
    if (line === undefined) continue;
    progress = { step: line.step, total: line.total, seconds_left: clock.secondsLeft(line) ?? null };
  }
  return progress;
}
