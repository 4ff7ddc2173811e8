// Rules by which an attempt of a job is followed by another one: where it ended for a reason outside of the program.
import * as batch from 'aws-cdk-lib/aws-batch';
import { EXIT } from '../../contracts/src/exit-codes.ts';

/** The first matching entry decides, of five at most. A job that no entry matches would be tried again, hence the last one. */
const retried = (...reasons: batch.Reason[]): batch.RetryStrategy[] => [
  ...reasons.map((reason) => batch.RetryStrategy.of(batch.Action.RETRY, reason)),
  batch.RetryStrategy.of(batch.Action.RETRY, batch.Reason.custom({ onExitCode: String(EXIT.interrupted) })),
  // Everything else is a fault of the program or of its data, and would only fail again.
  batch.RetryStrategy.of(batch.Action.EXIT, batch.Reason.custom({ onReason: '*' })),
];

/** In newer versions of ECS's agent the word ends here, in others with `Error`. */
const IMAGE_NOT_PULLED = batch.Reason.custom({ onReason: 'CannotPullContainer*' });

/** On EC2 machines. */
export const MACHINE_RETRIES: batch.RetryStrategy[] = retried(
  // A spot machine was reclaimed, or one broke: the next attempt goes on where this one was.
  batch.Reason.SPOT_INSTANCE_RECLAIMED,
  // All that ECS's agent could not do in time before the program began: pull the image, create and start the container.
  batch.Reason.custom({ onStatusReason: 'Task failed to start*' }),
  IMAGE_NOT_PULLED,
);

/** On Fargate, which says of a task that did not start what was in the way. */
export const FARGATE_RETRIES: batch.RetryStrategy[] = retried(
  batch.Reason.custom({ onStatusReason: 'Your Spot Task was interrupted*' }),
  // ECR or the log could not be reached.
  batch.Reason.custom({ onStatusReason: 'ResourceInitializationError*' }),
  IMAGE_NOT_PULLED,
);
