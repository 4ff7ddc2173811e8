// New data starts the pipeline: the pointer of a dataset that moves is an event, and the event an execution.
import { Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import type * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { FILES, keyPattern } from '../../../contracts/src/keys.ts';
import type { Storage } from '../../storage/storage.ts';

export interface ArrivalProps {
  /** Its training bucket holds the pointers. */
  storage: Storage;
  /** The pipeline that each move of a pointer executes. */
  stateMachine: sfn.StateMachine;
  /** Where starts go that could not be made. */
  deadLetters: sqs.Queue;
}

export class Arrival extends Construct {
  constructor(scope: Construct, id: string, { storage, stateMachine, deadLetters }: ArrivalProps) {
    super(scope, id);
    new events.Rule(this, 'Rule', {
      description: 'Trains a recipe when the pointer of its data moves',
      eventPattern: {
        source: ['aws.s3'],
        detailType: ['Object Created'],
        detail: {
          bucket: { name: [storage.trainingBucket.bucketName] },
          object: { key: [{ wildcard: keyPattern('datasets', FILES.pointer) }] },
        },
      },
      targets: [
        new targets.SfnStateMachine(stateMachine, {
          // The recipe is a part of the key, which an event's transformation cannot take apart: the machine does.
          input: events.RuleTargetInput.fromObject({ pointer: events.EventField.fromPath('$.detail.object.key') }),
          retryAttempts: 3,
          maxEventAge: Duration.hours(1),
          deadLetterQueue: deadLetters,
        }),
      ],
    });
  }
}
