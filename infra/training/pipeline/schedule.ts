// The schedule that trains recipes again: at a fixed time, with few retries and a dead-letter queue.
import { Duration, TimeZone } from 'aws-cdk-lib';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import * as targets from 'aws-cdk-lib/aws-scheduler-targets';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import type * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { PipelineInput } from '../../../contracts/src/training/pipeline.ts';
import { acknowledge } from '../../base/acknowledge.ts';
import type { Settings } from '../../base/settings.ts';

export interface ScheduleProps {
  /** Read here: when, and which recipes. */
  settings: Settings;
  /** The pipeline that each start executes. */
  stateMachine: sfn.StateMachine;
}

export class Schedule extends Construct {
  /** Starts that could not be made, kept for two weeks. */
  readonly deadLetters: sqs.Queue;
  /** One a recipe. */
  readonly schedules: readonly scheduler.Schedule[];

  constructor(scope: Construct, id: string, { settings, stateMachine }: ScheduleProps) {
    super(scope, id);
    const { enabled, cron, timezone, flexible_minutes, recipes } = settings.schedule;
    this.deadLetters = new sqs.Queue(this, 'DeadLetters', {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    acknowledge(
      this.deadLetters,
      'AwsSolutions::AwsSolutions-SQS3',
      'This is a dead-letter queue itself, of schedules; the rule knows those of other queues only.',
    );
    this.schedules = recipes.map(
      (recipe) =>
        new scheduler.Schedule(this, `Recipe-${recipe}`, {
          description: `Trains recipe ${recipe} with the data of its last request`,
          enabled,
          schedule: scheduler.ScheduleExpression.expression(cron, TimeZone.of(timezone)),
          timeWindow: scheduler.TimeWindow.flexible(Duration.minutes(flexible_minutes)),
          target: new targets.StepFunctionsStartExecution(stateMachine, {
            input: scheduler.ScheduleTargetInput.fromObject({ recipe } satisfies PipelineInput),
            // The defaults are 185 retries over a day: a start that late is not the one that was meant.
            retryAttempts: 3,
            maxEventAge: Duration.hours(1),
            deadLetterQueue: this.deadLetters,
          }),
        }),
    );
  }
}
