// What a run tells its user: one event a line with --json, sentences and a live line otherwise.
import type { StageName } from '../../../contracts/src/stages.ts';
import type { JobStatus } from '../aws/batch.ts';
import type { PlannedJob } from '../plan/plan.ts';

/** A job in the plan. `estimated_seconds`: from earlier runs here, null where there is none to go by. */
export interface StagePlan {
  id: string;
  stage: StageName;
  status: 'succeeded' | 'queued';
  address: string;
  output: string;
  /** Seconds that the finished run took. */
  seconds: number | null;
  estimated_seconds: number | null;
  /** US dollars on demand: by the estimate, and by the time limit of one attempt. Null where nothing is billed. */
  estimated_usd: number | null;
  limit_usd: number | null;
}

/** A planned job as the plan shows it. `cost` of a job that is to run where it is billed. */
export function toStagePlan(
  { job, address, report }: PlannedJob,
  estimated: number | null,
  cost: Pick<StagePlan, 'estimated_usd' | 'limit_usd'> = { estimated_usd: null, limit_usd: null },
): StagePlan {
  const { id, output } = job;
  const status = report === null ? 'queued' : 'succeeded';
  const seconds = report?.seconds ?? null;
  return { id, stage: job.config.stage, status, address, output, seconds, estimated_seconds: estimated, ...cost };
}

/** A job on AWS Batch. `status` null: not submitted. `seconds`: of the newest attempt, or of the finished run. */
export interface StageStatus {
  id: string;
  stage: StageName;
  status: JobStatus | null;
  job_id: string | null;
  reason: string | null;
  attempts: number | null;
  seconds: number | null;
  progress: { step: number; total: number; seconds_left: number | null } | null;
}

export type RunEvent =
  | {
      event: 'plan';
      recipe: string;
      runs: string;
      stages: StagePlan[];
      prices: { date: string; region: string } | null;
    }
  | { event: 'reused'; id: string; stage: StageName; output: string }
  | {
      event: 'running';
      id: string;
      stage: StageName;
      number: number;
      of: number;
      output: string;
      log: string;
      note: string | null;
    }
  | {
      event: 'progress';
      id: string;
      stage: StageName;
      number: number;
      of: number;
      step: number;
      total: number;
      seconds: number;
      metrics: Record<string, number>;
      /** Until this stage ends, null before there is a rate to go by. */
      seconds_left: number | null;
    }
  | { event: 'stopping'; id: string }
  | {
      event: 'succeeded';
      id: string;
      stage: StageName;
      seconds: number;
      metrics: Record<string, number>;
      notes: string[];
    }
  | { event: 'interrupted'; id: string | null; message: string }
  | {
      event: 'failed';
      id: string;
      stage: StageName;
      exit_code: number | null;
      signal: string | null;
      message: string;
      log: string;
      tail: string[];
    }
  | { event: 'installed'; folder: string; files: number; bytes: number }
  | { event: 'uploading'; files: number; of: number; bytes: number; of_bytes: number }
  | { event: 'submitted'; id: string; stage: StageName; job_id: string; job_name: string; already: boolean }
  | { event: 'status'; recipe: string; submitted_at: string; stages: StageStatus[] }
  | { event: 'log'; id: string; time: string; message: string }
  | { event: 'cancelled'; id: string; job_id: string }
  | { event: 'refused'; message: string }
  | { event: 'reading_data'; bytes: number };

export type Emit = (event: RunEvent) => void;
