// Estimates how long a stage will take from comparable runs of the same stage. Pure.
import { kindOf, workOf } from '../../../contracts/src/stages.ts';
import type { TrainingJob, TrainingReport } from '../../../contracts/src/training/job.ts';

/** A finished run with the job that asked for it. */
export interface PastRun {
  job: TrainingJob;
  report: TrainingReport;
}

/** Beyond this ratio of work an earlier run says little: fixed costs such as loading a model would be scaled too. */
const MAX_RATIO = 20;

/** Seconds, scaled by work from the most similar earlier run; undefined without one. */
export function estimateSeconds(job: TrainingJob, past: readonly PastRun[]): number | undefined {
  const wanted = workOf(job.config);
  let best: { distance: number; seconds: number } | undefined;
  for (const run of past) {
    if (kindOf(run.job.config) !== kindOf(job.config)) continue;
    const ratio = wanted / workOf(run.job.config);
    const distance = Math.abs(Math.log(ratio));
    if (distance > Math.log(MAX_RATIO) || (best !== undefined && distance > best.distance)) continue;
    best = { distance, seconds: run.report.seconds * ratio };
  }
  return best?.seconds;
}

/** Processes that a run was trained by, as its last attempt noted (trainer/engine/run.py). */
export function ranksIn({ notes }: TrainingReport): number {
  const [ranks = 1] = notes.flatMap((note) => /^trained by (\d+) ranks$/.exec(note)?.[1] ?? []).map(Number);
  return ranks;
}
