// Clients of a deployment that the commands on AWS share, and the Batch job of a planned one.
import type { ObjectStore } from '../../../api/registry/store.ts';
import { arrayName, jobName } from '../plan/pipeline-plan.ts';
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

/**
 * The Batch job of a planned one: an active one, else the newest of its own queue; undefined where Batch remembers none.
 * Every queue is asked, because the recipe may have named another job class when it was submitted before.
 */
export async function findJob(
  planned: PlannedJob,
  clients: Pick<AwsClients, 'deployment' | 'batch'>,
): Promise<BatchJob | undefined> {
  return findNamed(jobName(planned), planned, clients);
}

/** The array job that does the elements of a planned one, likewise; undefined where it has none. */
export async function findArray(
  planned: PlannedJob,
  clients: Pick<AwsClients, 'deployment' | 'batch'>,
): Promise<BatchJob | undefined> {
  return planned.arraySize === undefined ? undefined : findNamed(arrayName(planned), planned, clients);
}

async function findNamed(
  name: string,
  planned: PlannedJob,
  { deployment, batch }: Pick<AwsClients, 'deployment' | 'batch'>,
): Promise<BatchJob | undefined> {
  const own = deployment.queues[planned.jobClass];
  const queues = new Set([...(own === undefined ? [] : [own]), ...Object.values(deployment.queues)]);
  let newest: BatchJob | undefined;
  for (const queue of queues) {
    const found = await batch.find(queue, name);
    if (isActive(found)) return found;
    newest ??= found;
  }
  return newest;
}

/** Whether the job still waits or runs. */
export function isActive(job: BatchJob | undefined): job is BatchJob {
  return job?.status === 'queued' || job?.status === 'running';
}
