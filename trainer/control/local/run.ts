// Runs planned jobs on this machine, one after the other: reuse what is finished, resume what is not, stop when asked.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromFileUri } from '../../../api/registry/stores/file-uri.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { RANKED_STAGES, type StageName } from '../../../contracts/src/stages.ts';
import { TrainingJob } from '../../../contracts/src/training/job.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { PlannedJob } from '../plan/plan.ts';
import type { Emit } from '../run/events.ts';
import { readReport } from '../run/folder.ts';
import { createProgressClock } from '../run/progress.ts';
import type { ReportReading } from '../run/report.ts';
import { lockRun, type RunLock } from './run-lock.ts';
import { runStageProcess, type StageEnd, type StageProcessOptions } from './stage-process.ts';

export interface RunnerOptions
  extends Pick<StageProcessOptions, 'python' | 'trainer' | 'contracts' | 'env' | 'stop' | 'kill'> {
  emit: Emit;
  /** Processes that train a stage together, where several can. */
  ranks: number;
  /** The digest of a stage's source as it is on the disk now: it may have been edited since the plan was made. */
  codeNow(stage: StageName): string;
}

export type RunOutcome = 'succeeded' | 'interrupted' | 'failed';

/** Runs the jobs in order; the first one that does not succeed ends the run. Nothing finished is ever lost by that. */
export async function runJobs(jobs: readonly PlannedJob[], options: RunnerOptions): Promise<RunOutcome> {
  for (const [index, { job, report }] of jobs.entries()) {
    if (report !== undefined) {
      options.emit({ event: 'reused', id: job.id, stage: job.config.stage, output: job.output });
      continue;
    }
    if (options.stop.aborted) {
      options.emit({ event: 'interrupted', id: null, message: `stopped before ${job.id}` });
      return 'interrupted';
    }
    if (options.codeNow(job.config.stage) !== job.code) {
      const message = `the source of ${job.id} was edited after this command planned: run the same command again`;
      options.emit({ event: 'interrupted', id: null, message });
      return 'interrupted';
    }
    const outcome = await runJob(job, { number: index + 1, of: jobs.length }, options);
    if (outcome !== 'succeeded') return outcome;
  }
  return 'succeeded';
}

/** The job's position among those of the command. */
interface JobPosition {
  number: number;
  of: number;
}

/** A job with its folder of this machine, while that folder is locked. */
interface LockedRun {
  job: TrainingJob;
  folder: string;
  log: string;
  position: JobPosition;
  lock: RunLock;
}

async function runJob(job: TrainingJob, position: JobPosition, options: RunnerOptions): Promise<RunOutcome> {
  const folder = fromFileUri(job.output);
  if (folder === undefined) throw new UserError(`${job.output}: this runner writes to folders of this machine only`);
  const lock = lockRun(folder);
  try {
    const before = readReport(folder);
    if (before.status === 'finished') {
      // Another command finished it between our plan and our lock.
      options.emit({ event: 'reused', id: job.id, stage: job.config.stage, output: job.output });
      return 'succeeded';
    }
    const run = { job, folder, log: join(folder, FILES.log), position, lock };
    const end = await runStage(run, before, options);
    return conclude(run, end, options.emit);
  } finally {
    lock.release();
  }
}

async function runStage(
  { job, folder, log, position, lock }: LockedRun,
  before: Exclude<ReportReading, { status: 'finished' }>,
  { emit, ...options }: RunnerOptions,
): Promise<StageEnd> {
  const { id, output } = job;
  const { stage } = job.config;
  const note = before.status === 'refused' ? `the earlier report was set aside: ${before.reason}` : null;
  // A stage takes any report.json for a finished run, so one that was refused must go.
  if (before.status === 'refused') renameSync(join(folder, FILES.report), join(folder, FILES.refusedReport));
  const jobFile = join(folder, FILES.job);
  writeFileSync(jobFile, `${JSON.stringify(TrainingJob.parse({ schema_version: SCHEMA_VERSION, ...job }), null, 2)}\n`);
  emit({ event: 'running', id, stage, ...position, output, log, note });
  const announceStop = (): void => emit({ event: 'stopping', id });
  options.stop.addEventListener('abort', announceStop);
  const clock = createProgressClock();
  const end = await runStageProcess({
    ...options,
    ranks: RANKED_STAGES.includes(stage) ? options.ranks : 1,
    stage,
    jobFile,
    logFile: log,
    onStart: (pid) => lock.holdFor(pid),
    onProgress(line) {
      const { step, total, seconds, metrics } = line;
      const seconds_left = clock.secondsLeft(line) ?? null;
      emit({ event: 'progress', id, stage, ...position, step, total, seconds, metrics, seconds_left });
    },
  });
  options.stop.removeEventListener('abort', announceStop);
  return end;
}

/** Emits how a stage ended; a finished one counts only when its report does. */
function conclude({ job, folder, log }: LockedRun, end: StageEnd, emit: Emit): RunOutcome {
  const { id } = job;
  const { stage } = job.config;
  if (end.status === 'interrupted') {
    const saved = end.lost ? 'killed; what it did since its last checkpoint is lost' : 'stopped, its work is saved';
    emit({ event: 'interrupted', id, message: `${id} ${saved}: run the same command again to resume` });
    return 'interrupted';
  }
  if (end.status === 'failed') {
    const { exit_code, signal, message, tail } = end;
    emit({ event: 'failed', id, stage, exit_code, signal, message, log, tail });
    return 'failed';
  }
  const after = readReport(folder);
  const problem = after.status === 'finished' ? mismatch(job, after.report) : problemOf(after);
  if (after.status !== 'finished' || problem !== undefined) {
    const message = `exit 0, but ${problem}: a stage's last write has to be a report that keeps the contract`;
    emit({ event: 'failed', id, stage, exit_code: 0, signal: null, message, log, tail: end.tail });
    return 'failed';
  }
  const { seconds, metrics, notes } = after.report;
  emit({ event: 'succeeded', id, stage, seconds, metrics, notes });
  return 'succeeded';
}

function mismatch(job: TrainingJob, report: { id: string; stage: string }): string | undefined {
  if (report.stage !== job.config.stage) return `report.json is of stage ${report.stage}`;
  return report.id === job.id ? undefined : `report.json is of job ${report.id}`;
}

function problemOf(reading: Exclude<ReportReading, { status: 'finished' }>): string {
  return reading.status === 'absent' ? 'there is no report.json' : reading.reason;
}
