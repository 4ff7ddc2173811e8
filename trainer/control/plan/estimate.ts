// How long a stage will take, from what the same stage took on this machine before. Pure.

import { kindOf, workOf } from '../../../contracts/src/stages.ts';
import type { TrainingJob } from '../../../contracts/src/training/job.ts';
import type { PastRun } from '../run/folder.ts';

/** Beyond this ratio of work an earlier run says little: fixed costs such as loading a model would be scaled too. */
const MAX_RATIO = 20;

/** Seconds, scaled by work from the earlier run that is most alike; null without one. */
export function estimateSeconds(job: TrainingJob, past: readonly PastRun[]): number | null {
  const wanted = workOf(job.config);
  let best: { distance: number; seconds: number } | null = null;
  for (const run of past) {
    if (kindOf(run.job.config) !== kindOf(job.config)) continue;
    const ratio = wanted / workOf(run.job.config);
    const distance = Math.abs(Math.log(ratio));
    if (distance > Math.log(MAX_RATIO) || (best !== null && distance > best.distance)) continue;
    best = { distance, seconds: run.report.seconds * ratio };
  }
  return best?.seconds ?? null;
}
