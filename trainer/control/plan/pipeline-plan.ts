// Turns a plan into the Batch jobs that are missing, for the state machine and for the command that submits. Pure.
import { secondsAtMost, type TextByJobClass } from '../../../contracts/src/job-classes.ts';
import { FILES, fileIn, shortDigest } from '../../../contracts/src/keys.ts';
import type { PipelinePlan, PipelineStage } from '../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { Plan, PlannedJob } from './plan.ts';

/** The queue and the job definition that a job runs with, by the job classes that are deployed. */
export interface Fleet {
  queues: Readonly<TextByJobClass>;
  jobDefinitions: Readonly<TextByJobClass>;
}

export function toPipelinePlan(plan: Plan, fleet: Fleet): PipelinePlan {
  const { recipe, measuredOn } = plan;
  if (measuredOn === undefined)
    throw new UserError(
      `recipe ${recipe} has no block prepare, and the pipeline runs recipes from their data on: ` +
        'train it with npm run train, and publish what comes out with npm run model',
    );
  const missing = plan.jobs.filter(({ report }) => report === undefined);
  return {
    recipe,
    to_run: missing.length,
    stages: missing.flatMap((planned) => [...arrayStage(planned, fleet), toPipelineStage(planned, fleet)]),
    exported: stageOf(plan, 'export').job.output,
    evaluated: stageOf(plan, 'evaluate').job.output,
    dev_data: measuredOn,
  };
}

export function toPipelineStage(planned: PlannedJob, { queues, jobDefinitions }: Fleet): PipelineStage {
  const { job, contentAddress, jobClass } = planned;
  const { stage } = job.config;
  const [queue, definition] = [queues[jobClass], jobDefinitions[jobClass]];
  if (queue === undefined || definition === undefined)
    throw new UserError(
      `job_classes.${stage} is ${jobClass}, which is not deployed (there is ${Object.keys(queues).join(', ')}): ` +
        'switch its machines on in infra/settings and deploy, or name another class',
    );
  return {
    id: job.id,
    job_name: jobName(planned),
    job_queue: queue,
    job_definition: definition,
    job: fileIn(job.output, FILES.job),
    tags: { recipe: job.recipe, job: job.id, stage, address: contentAddress },
    timeout_seconds: secondsAtMost(jobClass),
  };
}

/** The array job that does the elements of a job before it joins them; nothing where there is none. */
export function arrayStage(planned: PlannedJob, fleet: Fleet): PipelineStage[] {
  const { arraySize } = planned;
  if (arraySize === undefined) return [];
  return [{ ...toPipelineStage(planned, fleet), job_name: arrayName(planned), array_size: arraySize }];
}

/** The name of a job's array job. */
export function arrayName({ job, ...planned }: PlannedJob): string {
  return jobName({ ...planned, job: { ...job, id: `${job.id}-array` } });
}

/** Equal work has an equal name, because the content address is part of it. */
export function jobName({ job, contentAddress }: PlannedJob): string {
  return `${`${job.recipe}_${job.id}`.replaceAll('.', '-').slice(0, 128 - 13)}_${shortDigest(contentAddress)}`;
}

/** The one job of a stage that belongs to the model itself. Throws a UserError where the recipe does not run that stage. */
export function stageOf(plan: Plan, stage: 'prepare' | 'export' | 'evaluate' | 'adapt'): PlannedJob {
  const found = plan.jobs.find(({ job }) => job.config.stage === stage);
  if (found === undefined)
    throw new UserError(`recipe ${plan.recipe} has no block ${stage}: it makes no model to publish`);
  return found;
}
