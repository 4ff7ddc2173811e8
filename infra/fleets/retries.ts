// Rules by which an attempt of a job is followed by another one: where it ended for a reason outside of the program.
import * as batch from 'aws-cdk-lib/aws-batch';
import { EXIT } from '../../contracts/src/exit-codes.ts';

/** The first matching entry decides. A job that no entry matches would be tried again, hence the last one. */
export const JOB_RETRIES: batch.RetryStrategy[] = [
  // A spot machine was reclaimed, on EC2 or Fargate: the next attempt goes on where this one was.
  batch.RetryStrategy.of(batch.Action.RETRY, batch.Reason.SPOT_INSTANCE_RECLAIMED),
  batch.RetryStrategy.of(
    batch.Action.RETRY,
    batch.Reason.custom({ onStatusReason: 'Your Spot Task was interrupted*' }),
  ),
  batch.RetryStrategy.of(batch.Action.RETRY, batch.Reason.CANNOT_PULL_CONTAINER),
  batch.RetryStrategy.of(batch.Action.RETRY, batch.Reason.custom({ onExitCode: String(EXIT.interrupted) })),
  // Everything else is a fault of the program or of its data, and would only fail again.
  batch.RetryStrategy.of(batch.Action.EXIT, batch.Reason.custom({ onReason: '*' })),
];
