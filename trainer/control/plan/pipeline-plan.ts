// A plan as the list of Batch jobs that are missing: what the state machine maps over and what the command submits. Pure.

import { CLASS_OF_STAGE, type StageClass } from '../../../contracts/src/job-classes.ts';
import type { PipelinePlan, PipelineStage } from '../../../contracts/src/training/pipeline.ts';
import type { Plan, PlannedJob } from './plan.ts';

/** Where jobs run, by stage class. */
export interface Fleet {
  queues: Readonly<Record<StageClass, string>>;
  jobDefinitions: Readonly<Record<StageClass, string>>;
}

export function toPipelinePlan(plan: Plan, fleet: Fleet): PipelinePlan {
  const missing = plan.jobs.filter(({ report }) => report === null);
  return {
    recipe: plan.recipe,
    to_run: missing.length,
    stages: missing.map((planned) => toPipelineStage(planned, fleet)),
    exported: stageOf(plan, 'export').job.output,
    evaluated: stageOf(plan, 'evaluate').job.output,
    dev_data: stageOf(plan, 'prepare').address,
  };
}

export function toPipelineStage(planned: PlannedJob, { queues, jobDefinitions }: Fleet): PipelineStage {
  const { job, address } = planned;
  const { stage } = job.config;
  const stageClass = CLASS_OF_STAGE[stage];
  return {
    id: job.id,
    job_name: jobName(planned),
    job_queue: queues[stageClass],
    job_definition: jobDefinitions[stageClass],
    job: `${job.output}/job.json`,
    tags: { recipe: job.recipe, job: job.id, stage, address },
  };
}

/** The same work has the same name, other work another: the content address is in it. */
export function jobName({ job, address }: PlannedJob): string {
  const digits = address.slice('sha256:'.length).slice(0, 12);
  return `${`${job.recipe}_${job.id}`.replaceAll('.', '-').slice(0, 128 - 13)}_${digits}`;
}

/** The one job of a stage that belongs to the model itself; the comparison's runs come after it. */
export function stageOf(plan: Plan, stage: 'prepare' | 'export' | 'evaluate'): PlannedJob {
  const found = plan.jobs.find(({ job }) => job.config.stage === stage);
  if (found === undefined) throw new Error(`a plan without ${stage}`);
  return found;
}
