// Time limits of every job queue: a job that cannot be placed is ended, so that the pipeline is told.
import { Duration } from 'aws-cdk-lib';
import { type JobStateTimeLimitAction, JobStateTimeLimitActionsReason as Reason } from 'aws-cdk-lib/aws-batch';
import { CAPACITY_HOURS } from '../../contracts/src/job-classes.ts';

/**
 * Batch itself would wait without limit, and the job at the head of the queue holds up those behind it. Machines come back in
 * hours, and the pipeline then submits the job again; what no machine can ever hold is no better after an hour.
 */
export const QUEUE_TIME_LIMITS: JobStateTimeLimitAction[] = [
  { reason: Reason.INSUFFICIENT_INSTANCE_CAPACITY, maxTime: Duration.hours(CAPACITY_HOURS) },
  { reason: Reason.COMPUTE_ENVIRONMENT_MAX_RESOURCE, maxTime: Duration.hours(1) },
  { reason: Reason.JOB_RESOURCE_REQUIREMENT, maxTime: Duration.hours(1) },
];
