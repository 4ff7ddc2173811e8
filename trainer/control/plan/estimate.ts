// How long a stage will take, from what the same stage took on this machine before. Pure.

import type { TrainingJob } from '../../../contracts/src/training/job.ts';
import type { StageConfig } from '../../../contracts/src/training/recipe.ts';
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

/** Runs of one kind are compared: the two text towers of `clip` cost differently. */
function kindOf(config: StageConfig): string {
  return config.stage === 'clip' ? `clip ${config.text_tower}` : config.stage;
}

/** Work in the stage's own unit (tokens, images, captions); 1 where a recipe does not say how much there is. */
function workOf(config: StageConfig): number {
  switch (config.stage) {
    case 'mntp':
    case 'contrastive':
      return config.schedule.steps * config.batch_size * config.max_tokens;
    case 'embed_captions':
      return 1 + Object.values(config.limits).reduce((sum, limit) => sum + limit, 0);
    case 'inherit':
    case 'clip':
      return config.schedule.steps * config.batch_size;
    case 'distill':
      return config.schedule.steps * config.batch_tokens;
    default:
      return 1;
  }
}
