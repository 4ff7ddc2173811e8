// The switch of spending: a function that stops queues, schedules, executions and jobs, and the topic that a budget calls it by.
import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import * as sns from 'aws-cdk-lib/aws-sns';
import type * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import type { Spending } from '../../contracts/src/training/pipeline.ts';
import { controlFunction } from '../base/control-function.ts';
import { grantActions } from '../base/grants.ts';
import type { Settings } from '../base/settings.ts';
import { createTopic } from '../base/topic.ts';
import type { Storage } from '../storage/storage.ts';
import type { Training } from '../training/training.ts';

export interface SwitchProps {
  /** Read here: whether schedules are switched on, and how long the log is kept. */
  settings: Settings;
  /** Holds the key of both topics. */
  storage: Storage;
  /** Whose executions and schedules are stopped. */
  training: Training;
  /** ARNs of every job queue. */
  queues: string[];
}

export class Switch extends Construct {
  /** A message that is published here stops everything. */
  readonly topic: sns.Topic;
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, { settings, storage, training, queues }: SwitchProps) {
    super(scope, id);
    const { pipeline, schedule } = training;
    const spending: Spending = {
      queues,
      state_machine: pipeline.stateMachine.stateMachineArn,
      schedules: schedule.schedules.map(({ scheduleName: name }) => ({ name, enabled: settings.schedule.enabled })),
    };
    this.function = controlFunction(this, 'Switch', {
      settings,
      purpose: 'Stops what costs money, and starts it again',
      environment: { [ENVARS.spending]: Stack.of(this).toJsonString(spending) },
      timeout: Duration.minutes(5),
    });
    this.topic = createTopic(this, 'Stop', { key: storage.key, publishers: ['budgets'] });
    this.call(pipeline.topic);
    this.permitTraining(queues, pipeline.stateMachine);
    this.permitSchedules(schedule.schedules);
    grantActions(this.function, { actions: ['sns:Publish'], resources: [pipeline.topic.topicArn] });
    grantActions(this.function, { actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [storage.key.keyArn] });
  }

  /** The topic calls the function, and Lambda itself tells what came of it. */
  private call(reports: sns.Topic): void {
    new lambda.CfnPermission(this, 'CalledByTopic', {
      action: 'lambda:InvokeFunction',
      functionName: this.function.functionArn,
      principal: 'sns.amazonaws.com',
      sourceArn: this.topic.topicArn,
    });
    new sns.CfnSubscription(this, 'OnStop', {
      topicArn: this.topic.topicArn,
      protocol: 'lambda',
      endpoint: this.function.functionArn,
    });
    new lambda.CfnEventInvokeConfig(this, 'Outcome', {
      functionName: this.function.functionName,
      qualifier: '$LATEST',
      maximumRetryAttempts: 2,
      destinationConfig: {
        onSuccess: { destination: reports.topicArn },
        onFailure: { destination: reports.topicArn },
      },
    });
  }

  private permitTraining(queues: string[], { stateMachineArn, stateMachineName }: sfn.StateMachine): void {
    const jobs = Stack.of(this).formatArn({ service: 'batch', resource: 'job', resourceName: '*' });
    const executions = Stack.of(this).formatArn({
      service: 'states',
      resource: 'execution',
      resourceName: `${stateMachineName}:*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    grantActions(this.function, { actions: ['batch:UpdateJobQueue'], resources: queues });
    grantActions(this.function, { actions: ['batch:ListJobs'], resources: ['*'] });
    grantActions(this.function, { actions: ['batch:TerminateJob'], resources: [jobs] });
    grantActions(this.function, { actions: ['states:ListExecutions'], resources: [stateMachineArn] });
    grantActions(this.function, { actions: ['states:StopExecution'], resources: [executions] });
  }

  private permitSchedules(schedules: readonly scheduler.Schedule[]): void {
    if (schedules.length === 0) return;
    grantActions(this.function, {
      actions: ['scheduler:GetSchedule', 'scheduler:UpdateSchedule'],
      resources: schedules.map(({ scheduleArn }) => scheduleArn),
    });
    // An update hands the schedule its role anew.
    grantActions(this.function, {
      actions: ['iam:PassRole'],
      resources: schedules.map(roleOf),
      conditions: { StringEquals: { 'iam:PassedToService': 'scheduler.amazonaws.com' } },
    });
  }
}

/** The role that a schedule starts executions with. */
function roleOf(schedule: scheduler.Schedule): string {
  const { defaultChild } = schedule.node;
  if (!(defaultChild instanceof scheduler.CfnSchedule)) throw new TypeError(`${schedule.node.path} has no resource`);
  const { target } = defaultChild;
  if (!('roleArn' in target)) throw new TypeError(`${schedule.node.path} has no role`);
  return target.roleArn;
}
