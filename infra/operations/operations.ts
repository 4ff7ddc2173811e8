// Alarms, a dashboard, the budget with its switch that stops spending, and who is told.
import { CfnCondition, Fn, Stack } from 'aws-cdk-lib';
import * as budgets from 'aws-cdk-lib/aws-budgets';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { grantActions } from '../base/grants.ts';
import { stackParameter } from '../base/parameter.ts';
import type { Settings } from '../base/settings.ts';
import { PROJECT, tagsOf } from '../base/tags.ts';
import type { BulkJobs } from '../serving/bulk-jobs.ts';
import type { GpuEncoder } from '../serving/gpu-encoder.ts';
import type { ImageEncoder } from '../serving/image-encoder.ts';
import type { Storage } from '../storage/storage.ts';
import type { Training } from '../training/training.ts';
import { type AlarmRow, alarmRows, type Watched } from './alarms.ts';
import { addDashboard } from './dashboard.ts';
import { Switch } from './switch.ts';

export interface OperationsProps {
  /** Read here: the budget, whether schedules are on, and how long the log of the switch is kept. */
  settings: Settings;
  storage: Storage;
  training: Training;
  imageEncoder: ImageEncoder;
  /** Undefined: there is none. */
  gpuEncoder: GpuEncoder | undefined;
  bulkJobs: BulkJobs;
}

const GPU_ENCODER = {
  name: 'EncoderGpu',
  called: 'the image encoder with a GPU',
  instead: 'the other one answers in its place, slower',
} as const;

/**
 * Shares of the budget, in per cent, at which the switch stops. AWS tells of each once a month: with one alone, whoever resumed would be
 * stopped by nothing until the month ends.
 */
const STOPS_AT = [100, 150, 200, 300] as const;

export class Operations extends Construct {
  readonly switch: Switch;

  constructor(scope: Construct, id: string, props: OperationsProps) {
    super(scope, id);
    const { settings, storage, training, imageEncoder, gpuEncoder, bulkJobs } = props;
    const { topic, stateMachine } = training.pipeline;
    const queues = [...Object.values(training.fleets), ...bulkJobs.places].map(({ queue }) => queue.jobQueueArn);
    this.switch = new Switch(this, 'Spending', { settings, storage, training, queues });
    const watched: Watched = {
      settings,
      stateMachine,
      deadLetters: training.schedule.deadLetters,
      encoders: [
        {
          name: 'Encoder',
          called: 'the image encoder',
          function: imageEncoder.function,
          instead: 'images are refused',
        },
        ...(gpuEncoder ? [{ ...GPU_ENCODER, function: gpuEncoder.function }] : []),
      ],
      failedShards: bulkJobs.failedShards,
      stop: this.switch.function,
    };
    const alarms = alarmRows(watched).map((row) => this.alarm(row, settings, topic));
    addDashboard(this, watched, alarms);
    this.tellOfBlockedQueues(queues, { topic, storage });
    this.budget(settings, topic);
    this.subscribe(topic);
  }

  /** Named, so that what is read in an e-mail is found in the runbook; nothing refers to an alarm, which may be replaced. */
  private alarm({ name, says, metric, above, periods }: AlarmRow, settings: Settings, topic: sns.Topic) {
    const alarm = new cloudwatch.Alarm(this, name, {
      alarmName: `${PROJECT}-${settings.name}-${name}`,
      alarmDescription: `${says} What to do: infra/README.md, ${name}.`,
      metric,
      threshold: above,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: periods,
      // Nothing happened: nothing was started, there were no calls.
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
    const action = { bind: () => ({ alarmActionArn: topic.topicArn }) };
    alarm.addAlarmAction(action);
    alarm.addOkAction(action);
    return alarm;
  }

  /**
   * Batch says at once why the job at the head of a queue cannot be placed: a quota of 0, no machines, an environment that is
   * invalid. Most of these reasons it never acts on itself.
   */
  private tellOfBlockedQueues(queues: string[], { topic, storage }: { topic: sns.Topic; storage: Storage }): void {
    // A role, because EventBridge cannot show the key's policy whose rule it acts for.
    const role = new iam.Role(this, 'BlockedRole', {
      assumedBy: new iam.ServicePrincipal('events.amazonaws.com'),
      description: 'Tells of blocked job queues',
    });
    grantActions(role, { actions: ['sns:Publish'], resources: [topic.topicArn] });
    grantActions(role, { actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [storage.key.keyArn] });
    new events.CfnRule(this, 'QueueBlocked', {
      description: 'A job cannot be placed and holds up its queue. What to do: infra/README.md, QueueBlocked.',
      eventPattern: {
        source: ['aws.batch'],
        'detail-type': ['Batch Job Queue Blocked'],
        detail: { jobQueue: queues },
      },
      targets: [{ id: 'Reports', arn: topic.topicArn, roleArn: role.roleArn }],
    });
  }

  private budget({ name, budget }: Settings, reports: sns.Topic): void {
    const notification = (notificationType: 'ACTUAL' | 'FORECASTED', threshold: number, topic: sns.Topic) => ({
      notification: { notificationType, threshold, comparisonOperator: 'GREATER_THAN', thresholdType: 'PERCENTAGE' },
      subscribers: [{ subscriptionType: 'SNS', address: topic.topicArn }],
    });
    const tag = (key: string, value: string) => ({ tags: { key, values: [value], matchOptions: ['EQUALS'] } });
    new budgets.CfnBudget(this, 'Budget', {
      budget: {
        budgetType: 'COST',
        timeUnit: 'MONTHLY',
        budgetLimit: { amount: budget.monthly_usd, unit: 'USD' },
        filterExpression: { and: Object.entries(tagsOf(name)).map(([key, value]) => tag(key, value)) },
        metrics: ['UnblendedCost'],
      },
      notificationsWithSubscribers: [
        notification('ACTUAL', 80, reports),
        notification('FORECASTED', 100, reports),
        ...STOPS_AT.map((threshold) => notification('ACTUAL', threshold, this.switch.topic)),
      ],
    });
  }

  private subscribe(topic: sns.Topic): void {
    const address = stackParameter(Stack.of(this), 'NotifyEmail').valueAsString;
    const isTold = new CfnCondition(this, 'IsTold', { expression: Fn.conditionNot(Fn.conditionEquals(address, '')) });
    const subscription = new sns.CfnSubscription(this, 'Notify', {
      topicArn: topic.topicArn,
      protocol: 'email',
      endpoint: address,
    });
    subscription.cfnOptions.condition = isTold;
  }
}
