// Clients of a deployment that the commands on AWS share, and the Batch job of a planned one.
import type { ObjectStore } from '../../../api/registry/store.ts';
import { jobClassOf } from '../../../contracts/src/stages.ts';
import { jobName } from '../plan/pipeline-plan.ts';
import type { PlannedJob } from '../plan/plan.ts';
import type { Emit } from '../run/events.ts';
import type { BatchJob, BatchJobs } from './batch.ts';
import type { Deployment } from './deployment.ts';
import type { JobLogs } from './logs.ts';

export interface AwsClients {
  deployment: Deployment;
  /** The training bucket. */
  store: ObjectStore;
  batch: BatchJobs;
  logs: JobLogs;
  emit: Emit;
}

/** The newest Batch job of a planned one; undefined where Batch remembers none. */
export function findJob(
  planned: PlannedJob,
  { deployment, batch }: Pick<AwsClients, 'deployment' | 'batch'>,
): Promise<BatchJob | undefined> {
  return batch.find(deployment.queues[jobClassOf(planned.job.config.stage)], jobName(planned));
}

/** Whether the job still waits or runs. */
export function isActive(job: BatchJob | undefined): job is BatchJob {
  return job?.status === 'queued' || job?.status === 'running';
}
