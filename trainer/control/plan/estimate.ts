// Estimates how long a stage will take from comparable runs of the same stage. Pure.

import { FIGURE_ELEMENT_SECONDS } from '../../../contracts/src/data/shards.ts';
import { kindOf, RANKED_STAGES, workOf } from '../../../contracts/src/stages.ts';
import type { TrainingJob, TrainingReport } from '../../../contracts/src/training/job.ts';

/** A finished run with the job that asked for it. */
export interface PastRun {
  job: TrainingJob;
  report: TrainingReport;
  /** The times as long that it took as by itself, for its share of a machine beside others; absent: it was by itself. */
  slowdown?: number;
}

/** Beyond this ratio of work an earlier run says little: fixed costs such as loading a model would be scaled too. */
const MAX_RATIO = 20;

/** How long a stage may take. */
export interface Estimate {
  /** Seconds of work of one container, or of all containers together. */
  work: number;
  /** Seconds from start to end, where all containers work side by side. */
  elapsed: number;
}

/**
 * Of a stage by itself, scaled by work from the most similar earlier run; undefined without one. A run beside others counts where
 * none was by itself, as faster by what its share of the machine is taken to cost. `containers` share what can be shared.
 */
export function estimateRun(job: TrainingJob, past: readonly PastRun[], containers = 1): Estimate | undefined {
  const isAlone = ({ slowdown = 1 }: PastRun): boolean => slowdown === 1;
  return scaledFrom(past.filter(isAlone), job, containers) ?? scaledFrom(past, job, containers);
}

function scaledFrom(past: readonly PastRun[], job: TrainingJob, containers: number): Estimate | undefined {
  const wanted = workOf(job.config);
  let best: { distance: number; estimate: Estimate } | undefined;
  for (const run of past) {
    if (kindOf(run.job.config) !== kindOf(job.config)) continue;
    const ratio = wanted / workOf(run.job.config);
    const distance = Math.abs(Math.log(ratio));
    if (distance > Math.log(MAX_RATIO) || (best !== undefined && distance > best.distance)) continue;
    const scale = ratio / (run.slowdown ?? 1);
    const work = run.report.seconds * scale;
    const shared = Math.min(work, (run.report.metrics[FIGURE_ELEMENT_SECONDS] ?? 0) * scale);
    best = { distance, estimate: { work, elapsed: work - shared + shared / containers } };
  }
  return best?.estimate;
}

/**
 * Of earlier runs those that say how long a stage takes on this machine: where it has GPUs that were used, those on GPUs, by as
 * many processes; else those on a processor, whose cores processes share.
 */
export function comparableHere(past: readonly PastRun[], { gpus, ranks }: { gpus: number; ranks: number }): PastRun[] {
  const isOnGpu = ({ report }: PastRun): boolean => report.device.startsWith('cuda');
  if (gpus === 0 || !past.some(isOnGpu)) return past.filter((run) => !isOnGpu(run));
  return past.filter(
    (run) => isOnGpu(run) && ranksIn(run.report) === (RANKED_STAGES.includes(run.job.config.stage) ? ranks : 1),
  );
}

/** Processes that a run was trained by, as its last attempt noted (trainer/engine/run.py). */
export function ranksIn({ notes }: TrainingReport): number {
  const [ranks = 1] = notes.flatMap((note) => /^trained by (\d+) ranks$/.exec(note)?.[1] ?? []).map(Number);
  return ranks;
}
