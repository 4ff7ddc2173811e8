// Client of AWS Batch for the control plane: find by name, submit, terminate. Nothing is decided here.
import {
  BatchClient,
  DescribeJobsCommand,
  type JobDetail,
  ListJobsCommand,
  SubmitJobCommand,
  TerminateJobCommand,
} from '@aws-sdk/client-batch';
import { explained } from '../../../api/registry/stores/aws-errors.ts';
import type { PipelineStage } from '../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { JobStatus } from '../run/events.ts';

export interface BatchJob {
  job_id: string;
  job_name: string;
  status: JobStatus;
  /** Why it ended or waits, where Batch says so. */
  reason: string | undefined;
  exit_code: number | undefined;
  attempts: number;
  started_at: string | undefined;
  stopped_at: string | undefined;
  /** Log stream of the newest attempt. */
  log_stream: string | undefined;
  /** Children of an array job: all, and by how they ended. */
  children?: { size: number; succeeded: number; failed: number };
}

export interface BatchJobs {
  /** The newest job of exactly that name; Batch remembers ended ones for about a week. */
  find(queue: string, name: string): Promise<BatchJob | undefined>;
  /** Submits and returns the job's id. The caller has made sure that none of that name is active. */
  submit(stage: PipelineStage, dependsOn: readonly string[]): Promise<string>;
  /** Ends a job whatever state it is in; one that has ended stays as it is. */
  terminate(jobId: string, reason: string): Promise<void>;
}

/** Begins the reason of every job that a user ended: it distinguishes a cancelled job from a failed one. */
export const CANCELLED = 'cancelled by';
/** Batch's own limit on `dependsOn`. */
const MAX_DEPENDS_ON = 20;

export function openBatch(client = new BatchClient({})): BatchJobs {
  return {
    async find(queue, name) {
      const ids: { id: string; created: number }[] = [];
      let nextToken: string | undefined;
      do {
        const filters = [{ name: 'JOB_NAME', values: [name] }];
        const page = await answered(client.send(new ListJobsCommand({ jobQueue: queue, filters, nextToken })));
        for (const { jobId, createdAt = 0, jobName } of page.jobSummaryList ?? []) {
          // The filter ignores case. Children of an array job have its name, and its id with a number behind.
          if (jobId !== undefined && !jobId.includes(':') && jobName === name)
            ids.push({ id: jobId, created: createdAt });
        }
        nextToken = page.nextToken;
      } while (nextToken !== undefined);
      const newest = ids.reduce<{ id: string; created: number } | undefined>(
        (best, job) => (best === undefined || job.created >= best.created ? job : best),
        undefined,
      );
      if (newest === undefined) return undefined;
      const { jobs = [] } = await answered(client.send(new DescribeJobsCommand({ jobs: [newest.id] })));
      const [detail] = jobs;
      return detail === undefined ? undefined : toBatchJob(detail);
    },
    async submit(stage, dependsOn) {
      if (dependsOn.length > MAX_DEPENDS_ON)
        throw new UserError(
          `${stage.id} waits for ${dependsOn.length} jobs; Batch allows ${MAX_DEPENDS_ON}: use fewer compare.seeds or compare.variants, or run them first with --to`,
        );
      const { jobId } = await answered(
        client.send(
          new SubmitJobCommand({
            jobName: stage.job_name,
            jobQueue: stage.job_queue,
            jobDefinition: stage.job_definition,
            parameters: { job: stage.job },
            dependsOn: dependsOn.map((id) => ({ jobId: id })),
            ...(stage.array_size === undefined ? {} : { arrayProperties: { size: stage.array_size } }),
            tags: stage.tags,
            propagateTags: true,
          }),
        ),
      );
      if (jobId === undefined) throw new Error(`Batch took ${stage.job_name} and gave no id`);
      return jobId;
    },
    async terminate(jobId, reason) {
      await answered(client.send(new TerminateJobCommand({ jobId, reason })));
    },
  };
}

function toBatchJob(detail: JobDetail): BatchJob {
  const {
    jobId = '',
    jobName = '',
    status = '',
    statusReason,
    attempts = [],
    container,
    startedAt,
    stoppedAt,
    arrayProperties: { size, statusSummary = {} } = {},
  } = detail;
  const last = attempts.at(-1)?.container;
  return {
    job_id: jobId,
    job_name: jobName,
    // Batch calls an array job pending while its children run.
    status:
      hasBegun(statusSummary) && toStatus(status, undefined) === 'queued' ? 'running' : toStatus(status, statusReason),
    reason: statusReason ?? container?.reason,
    exit_code: container?.exitCode ?? last?.exitCode,
    attempts: attempts.length,
    started_at: toIso(startedAt),
    stopped_at: toIso(stoppedAt),
    log_stream: container?.logStreamName ?? last?.logStreamName,
    ...(size === undefined
      ? {}
      : { children: { size, succeeded: statusSummary.SUCCEEDED ?? 0, failed: statusSummary.FAILED ?? 0 } }),
  };
}

function hasBegun(children: Record<string, number>): boolean {
  return ['STARTING', 'RUNNING', 'SUCCEEDED', 'FAILED'].some((status) => (children[status] ?? 0) > 0);
}

function toStatus(status: string, reason: string | undefined): JobStatus {
  switch (status) {
    case 'SUCCEEDED':
      return 'succeeded';
    case 'FAILED':
      return reason?.startsWith(CANCELLED) ? 'cancelled' : 'failed';
    case 'STARTING':
    case 'RUNNING':
      return 'running';
    default:
      return 'queued';
  }
}

function toIso(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined || milliseconds === 0 ? undefined : new Date(milliseconds).toISOString();
}

function answered<T>(call: Promise<T>): Promise<T> {
  return explained('AWS Batch', call);
}
