// Time limits of every job queue: a job that cannot be placed is ended, so that the pipeline is told.
import { Duration } from 'aws-cdk-lib';
import { type JobStateTimeLimitAction, JobStateTimeLimitActionsReason as Reason } from 'aws-cdk-lib/aws-batch';

/** Batch itself would wait without limit, and the job at the head of the queue holds up those behind it. */
export const QUEUE_TIME_LIMITS: JobStateTimeLimitAction[] = [
  Reason.INSUFFICIENT_INSTANCE_CAPACITY,
  Reason.COMPUTE_ENVIRONMENT_MAX_RESOURCE,
  Reason.JOB_RESOURCE_REQUIREMENT,
].map((reason) => ({ reason, maxTime: Duration.minutes(60) }));
