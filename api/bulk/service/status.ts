// The status of a bulk job by what is in its folder: a pure function of documents and the time.
import type { OpenAiBatch } from '../../../contracts/src/api/doors/batches.ts';
import type { JobReport, JobStatus } from '../../../contracts/src/api/tasks/jobs.ts';
import {
  BULK_LIMITS,
  type BulkDone,
  type BulkJob,
  type BulkPlan,
  type BulkStop,
} from '../../../contracts/src/bulk/job.ts';
import { serialOf } from './ask.ts';
import { totalsOf } from './folder.ts';

/** What is in a job's folder. */
export interface JobState {
  job: BulkJob;
  plan: BulkPlan | undefined;
  stop: BulkStop | undefined;
  done: BulkDone[];
}

/**
 * A job whose shards are all finished is completed, whatever came after. One that was stopped or has expired stays so: a shard
 * that was at work at that moment leaves its files, and the caller was told already that the job goes no further, and given
 * back what it had not done.
 */
export function statusOf({ job, plan, stop, done }: JobState, now: number): JobStatus {
  const ends = [stop?.at ?? null, job.expires_at].flatMap((time) => (time === null ? [] : [Date.parse(time)]));
  const isLate = (time: string): boolean => Date.parse(time) > Math.min(...ends);
  if (plan && done.length >= plan.shards && !done.some(({ at }) => isLate(at))) return 'completed';
  if (stop) return stop.status;
  if (job.expires_at !== null && Date.parse(job.expires_at) <= now) return 'expired';
  return plan ? 'in_progress' : 'validating';
}

export const isFinal = (status: JobStatus): boolean => status !== 'validating' && status !== 'in_progress';

/** Unix seconds. */
export function toSeconds(time: string): number {
  return Math.floor(Date.parse(time) / 1000);
}

/** Unix seconds when the files of what was made then are removed. */
export const removalOf = (created_at: string): number => toSeconds(created_at) + BULK_LIMITS.days * 86_400;

/** Unix seconds; null while it goes on. */
function endOf({ job, stop, done }: JobState, status: JobStatus): number | null {
  if (!isFinal(status)) return null;
  if (status === 'completed') return Math.max(...done.map(({ at }) => toSeconds(at)));
  return toSeconds((status === 'expired' ? job.expires_at : stop?.at) ?? job.created_at);
}

/** Items of tars are counted when their shards are finished. */
function countsOf({ plan, done }: JobState, status: JobStatus) {
  const { succeeded: completed, failed } = totalsOf(done);
  return { total: status === 'completed' ? completed + failed : (plan?.items ?? null), completed, failed };
}

export function reportOf(state: JobState, now: number): JobReport {
  const { job, plan, stop, done } = state;
  if ('endpoint' in job.output) throw new Error(`${job.id} is a batch`);
  const status = statusOf(state, now);
  return {
    id: job.id,
    object: 'job',
    status,
    created_at: toSeconds(job.created_at),
    in_progress_at: plan ? toSeconds(plan.at) : null,
    ended_at: endOf(state, status),
    expires_at: job.expires_at === null ? null : toSeconds(job.expires_at),
    request_counts: countsOf(state, status),
    shards: { total: plan?.shards ?? null, done: done.length },
    machine: plan?.machine ?? null,
    estimate: plan?.estimate ?? null,
    error: status === 'failed' || status === 'cancelled' ? (stop?.message ?? null) : null,
    model: job.model,
    output: job.output,
    files: done.flatMap(({ files }) => files),
  };
}

/** Ids of the files of answers and of errors, which are the parts of all shards one after the other. */
export const outputId = (job: string, kind: 'answers' | 'errors'): string => `file_${kind}_${serialOf(job)}`;

export function batchOf(state: JobState, now: number): OpenAiBatch {
  const { job, stop } = state;
  if (!('endpoint' in job.output)) throw new Error(`${job.id} is not a batch`);
  const { endpoint, file, metadata } = job.output;
  const status = statusOf(state, now);
  const { total, completed, failed } = countsOf(state, status);
  const end = endOf(state, status);
  const at = (wanted: JobStatus): number | null => (status === wanted ? end : null);
  // Of a batch that ended early there is what was finished.
  const has = (count: number): boolean => isFinal(status) && count > 0;
  const failure = { code: 'batch_failed', message: stop?.message ?? '' };
  return {
    id: job.id,
    object: 'batch',
    endpoint,
    errors: status === 'failed' ? { object: 'list', data: [failure] } : null,
    input_file_id: file,
    completion_window: '24h',
    status,
    output_file_id: has(completed) ? outputId(job.id, 'answers') : null,
    error_file_id: has(failed) ? outputId(job.id, 'errors') : null,
    created_at: toSeconds(job.created_at),
    in_progress_at: state.plan ? toSeconds(state.plan.at) : null,
    expires_at: job.expires_at === null ? null : toSeconds(job.expires_at),
    completed_at: at('completed'),
    failed_at: at('failed'),
    expired_at: at('expired'),
    cancelled_at: at('cancelled'),
    request_counts: { total: total ?? completed + failed, completed, failed },
    metadata,
  };
}
