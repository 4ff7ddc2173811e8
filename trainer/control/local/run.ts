// Runs planned jobs on this machine, in order or side by side: reuse what is finished, resume what is not, stop when asked.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromFileUri } from '../../../api/registry/stores/file-uri.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { RANKED_STAGES, type StageName } from '../../../contracts/src/stages.ts';
import { TrainingJob } from '../../../contracts/src/training/job.ts';
import { codeOf, reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import type { PlannedJob } from '../plan/plan.ts';
import type { Emit } from '../run/events.ts';
import { noteShare, readReport } from '../run/folder.ts';
import { createProgressClock } from '../run/progress.ts';
import type { ReportReading } from '../run/report.ts';
import { lockRun, type RunLock } from './run-lock.ts';
import { type RunOutcome, runSideBySide } from './side-by-side.ts';
import { runStageProcess, type StageEnd, type StageProcessOptions } from './stage-process.ts';

export interface RunnerOptions
  extends Pick<StageProcessOptions, 'python' | 'trainer' | 'contracts' | 'env' | 'stop' | 'kill'> {
  emit: Emit;
  /** Processes that train a stage together, where several can. */
  ranks: number;
  /** Variables of each stage that runs side by side with others, besides `env`; one entry: one after the other. */
  shares: readonly NodeJS.ProcessEnv[];
  /** The times as long that a stage is taken to last with such a share as by itself. */
  slowdown(stage: StageName): number;
  /** The digest of a stage's source as it is on the disk now: it may have been edited since the plan was made. */
  codeNow(stage: StageName): string;
}

/** Runs the jobs; once one has not succeeded, none is begun any more. Nothing finished is ever lost by that. */
export function runJobs(jobs: readonly PlannedJob[], { shares, ...options }: RunnerOptions): Promise<RunOutcome> {
  const { emit, env, stop } = options;
  const numbers = new Map(jobs.map(({ job }, index) => [job.id, index + 1]));
  const running = new Set<string>();
  return runSideBySide(jobs, {
    places: shares.length,
    async run(planned, place) {
      const { id } = planned.job;
      const position = { number: numbers.get(id) ?? 0, of: jobs.length };
      running.add(id);
      try {
        return await runUnlessDone(planned, position, { ...options, env: { ...env, ...shares[place] } });
      } catch (error) {
        // Said at once, and not when the others end, which may be hours later.
        if (running.size === 1 || !(error instanceof UserError || codeOf(error) !== undefined)) throw error;
        emit({ event: 'refused', message: `${id}: ${reasonOf(error)}` });
        return 'failed';
      } finally {
        running.delete(id);
      }
    },
    onLast() {
      if (running.size > 0 && !stop.aborted) emit({ event: 'finishing', ids: [...running] });
    },
  });
}

async function runUnlessDone(
  { job, report }: PlannedJob,
  position: JobPosition,
  options: JobOptions,
): Promise<RunOutcome> {
  if (report !== undefined) {
    options.emit({ event: 'reused', id: job.id, stage: job.config.stage, output: job.output });
    return 'succeeded';
  }
  const reason = reasonToStop(job, options);
  if (reason === undefined) return await runJob(job, position, options);
  options.emit({ event: 'interrupted', id: null, message: reason });
  return 'interrupted';
}

/** Why the job is not begun although the jobs before it went well. */
function reasonToStop(job: TrainingJob, { stop, codeNow }: JobOptions): string | undefined {
  if (stop.aborted) return `stopped before ${job.id}`;
  if (codeNow(job.config.stage) === job.code) return undefined;
  return `the source of ${job.id} was edited after this command planned: run the same command again`;
}

type JobOptions = Omit<RunnerOptions, 'shares'>;

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

async function runJob(job: TrainingJob, position: JobPosition, options: JobOptions): Promise<RunOutcome> {
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
    // Another runner's stage is at work there: what its report says is not of ours.
    lock.check();
    return conclude(run, end, options.emit);
  } finally {
    lock.release();
  }
}

async function runStage(
  { job, folder, log, position, lock }: LockedRun,
  before: Exclude<ReportReading, { status: 'finished' }>,
  { emit, ...options }: JobOptions,
): Promise<StageEnd> {
  const { id, output } = job;
  const { stage } = job.config;
  const note = before.status === 'refused' ? `the earlier report was set aside: ${before.reason}` : null;
  // A stage takes any report.json for a finished run, so one that was refused must go.
  if (before.status === 'refused') renameSync(join(folder, FILES.report), join(folder, FILES.refusedReport));
  const jobFile = join(folder, FILES.job);
  writeFileSync(jobFile, `${JSON.stringify(TrainingJob.parse({ schema_version: SCHEMA_VERSION, ...job }), null, 2)}\n`);
  noteShare(folder, options.slowdown(stage));
  emit({ event: 'running', id, stage, ...position, output, log, note });
  const announceStop = (): void => emit({ event: 'stopping', id });
  options.stop.addEventListener('abort', announceStop);
  const clock = createProgressClock();
  const end = await runStageProcess({
    ...options,
    // Not asked to save: it would write among the files of another stage.
    kill: AbortSignal.any([options.kill, lock.lost]),
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
