// Events that a command prints: one per line with --json, sentences and a live line otherwise.

import type { DataIndex } from '../../../contracts/src/data/data-index.ts';
import type { DatasetPointer } from '../../../contracts/src/data/dataset.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import type { LanguageNeeds } from '../plan/forms/language-needs.ts';
import type { StageNeeds } from '../plan/stage-needs.ts';
import type { SideBySide, StagePlan } from '../plan/stage-plan.ts';

/** The state of a job on AWS Batch, in the project's words. */
export type JobStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

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
  | { event: 'recipe'; recipe: Recipe }
  | {
      event: 'plan';
      recipe: string;
      runs: string;
      stages: StagePlan[];
      /** Null where one stage runs after the other, and on AWS. */
      side_by_side: SideBySide | null;
      prices: { date: string; region: string } | null;
    }
  | { event: 'language_needs'; needs: LanguageNeeds[] }
  | { event: 'needs'; upload_bytes: number; needs: StageNeeds[] }
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
      /** Until this stage ends, null before there is a rate. */
      seconds_left: number | null;
    }
  | { event: 'stopping'; id: string }
  /** Another stage has not succeeded: these ran beside it and are the last. */
  | { event: 'finishing'; ids: string[] }
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
  | { event: 'comparison'; table: string; comparison: unknown }
  | { event: 'installed'; folder: string; files: number; bytes: number }
  | { event: 'uploading'; files: number; of: number; bytes: number; of_bytes: number }
  | { event: 'submitted'; id: string; stage: StageName; job_id: string; job_name: string; already: boolean }
  | { event: 'status'; recipe: string; submitted_at: string; stages: StageStatus[] }
  | { event: 'log'; id: string; time: string; message: string }
  | { event: 'cancelled'; id: string; job_id: string }
  | { event: 'refused'; message: string }
  | {
      event: 'pushed';
      dataset: DatasetPointer;
      sent: { files: number; bytes: number };
      moved: boolean;
      /** Whether its recipe was submitted, so that the pipeline trains on it. */
      submitted: boolean;
    }
  | { event: 'datasets'; datasets: DatasetPointer[] }
  | { event: 'dataset'; dataset: DatasetPointer; state: string; files: DataIndex['files'] }
  | { event: 'reading_data'; bytes: number };

export type Emit = (event: RunEvent) => void;
