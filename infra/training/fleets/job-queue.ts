// What every job queue does with a job that cannot be placed: ends it, so that the pipeline learns of it.
import { Duration } from 'aws-cdk-lib';
import { type JobStateTimeLimitAction, JobStateTimeLimitActionsReason as Reason } from 'aws-cdk-lib/aws-batch';

/** Batch itself would wait for ever, and the job at the head of the queue holds up those behind it. */
export const STUCK_IN_QUEUE: JobStateTimeLimitAction[] = [
  Reason.INSUFFICIENT_INSTANCE_CAPACITY,
  Reason.COMPUTE_ENVIRONMENT_MAX_RESOURCE,
  Reason.JOB_RESOURCE_REQUIREMENT,
].map((reason) => ({ reason, maxTime: Duration.minutes(60) }));
