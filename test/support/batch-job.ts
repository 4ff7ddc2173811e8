// Step Functions' `batch:submitJob.sync`: submits a job, waits for it, and fails where the job does.
import { z } from 'zod';
import { openBatch } from '../../trainer/control/aws/batch.ts';

/** Its parameters, as the state machine gives them. */
export const SubmittedJob = z.strictObject({
  JobName: z.string(),
  JobQueue: z.string(),
  JobDefinition: z.string(),
  Parameters: z.strictObject({ job: z.string() }),
  Tags: z.strictObject({ recipe: z.string(), job: z.string(), stage: z.string(), address: z.string() }),
});
export type SubmittedJob = z.infer<typeof SubmittedJob>;

export async function runJob({ JobName, JobQueue, JobDefinition, Parameters, Tags }: SubmittedJob): Promise<void> {
  const batch = openBatch();
  const stage = {
    id: Tags.job,
    job_name: JobName,
    job_queue: JobQueue,
    job_definition: JobDefinition,
    job: Parameters.job,
    tags: Tags,
    timeout_seconds: 3600,
  };
  const id = await batch.submit(stage, []);
  for (;;) {
    const job = await batch.find(JobQueue, JobName);
    if (job?.job_id === id && job.status === 'succeeded') return;
    if (job?.job_id === id && job.status === 'failed')
      throw Object.assign(new Error(job.reason ?? ''), { name: 'States.TaskFailed' });
    await new Promise((wake) => setTimeout(wake, 50));
  }
}
