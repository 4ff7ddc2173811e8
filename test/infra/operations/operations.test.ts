// Operations: alarms with their runbook, blocked queues, the budget and the switch that stops spending.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Spending } from '../../../contracts/src/training/pipeline.ts';
import { array, one, propertiesOf, ROOT, record, statements, synthesis, text } from '../../support/synthesis.ts';

const REPORTS = /^<edge-clip-\w+-training:PublishOutputRefTrainingPipelineReports\w+>$/;

describe.each(['dev', 'prod'] as const)('the alarms of %s', (environment) => {
  const { operations } = synthesis(environment).templates;
  const alarms = Object.values(propertiesOf(operations, 'AWS::CloudWatch::Alarm'));
  const named = (name: string) => {
    const found = alarms.find(({ AlarmName }) => AlarmName === `edge-clip-${environment}-${name}`);
    if (found === undefined) throw new Error(`no alarm ${name}`);
    return found;
  };

  it('tell the topic of reports, when they go off and when it is over', () => {
    expect(alarms.length).toBeGreaterThanOrEqual(8);
    for (const { AlarmActions, OKActions } of alarms)
      for (const actions of [AlarmActions, OKActions])
        expect(array(actions).map(text)).toEqual([expect.stringMatching(REPORTS)]);
  });

  it('are silent where nothing happens', () => {
    for (const { TreatMissingData } of alarms) expect(TreatMissingData).toBe('notBreaching');
  });

  it('go off with the first training that fails, runs into its limit or cannot be started', () => {
    for (const [name, metric] of [
      ['ExecutionFailed', 'ExecutionsFailed'],
      ['ExecutionTimedOut', 'ExecutionsTimedOut'],
      ['ScheduleUndelivered', 'ApproximateNumberOfMessagesVisible'],
      ['ShardFailed', 'ApproximateNumberOfMessagesVisible'],
      ['SwitchFailed', 'Errors'],
    ] as const)
      expect(named(name)).toMatchObject({
        MetricName: metric,
        Threshold: 0,
        ComparisonOperator: 'GreaterThanThreshold',
        EvaluationPeriods: 1,
      });
    expect(JSON.stringify(named('ExecutionFailed').Dimensions)).toContain('TrainingPipelineStateMachine');
    expect(JSON.stringify(named('ScheduleUndelivered').Dimensions)).toContain('TrainingScheduleDeadLetters');
    expect(JSON.stringify(named('ShardFailed').Dimensions)).toContain('BulkFailedShards');
  });

  it('go off where the encoder fails one call in twenty, refuses, or is slow, for a quarter of an hour', () => {
    const share = array(named('EncoderFails').Metrics).map(record);
    expect(share.find(({ Expression }) => Expression !== undefined)?.Expression).toBe(
      'IF(calls >= 20, 100 * errors / calls, 0)',
    );
    expect(named('EncoderFails').Threshold).toBe(5);
    expect(named('EncoderRefuses')).toMatchObject({ MetricName: 'Throttles', Threshold: 10 });
    expect(named('EncoderSlow')).toMatchObject({ MetricName: 'Duration', ExtendedStatistic: 'p99', Threshold: 15_000 });
    for (const name of ['EncoderFails', 'EncoderRefuses', 'EncoderSlow']) expect(named(name).EvaluationPeriods).toBe(3);
  });

  it('each have their part of the runbook, and name it', () => {
    const runbook = readFileSync(join(ROOT, 'infra', 'README.md'), 'utf8');
    const messages = [
      ...alarms.map(({ AlarmName, AlarmDescription }) => [String(AlarmName).split('-').at(-1), AlarmDescription]),
      ['QueueBlocked', one(operations, 'AWS::Events::Rule').properties.Description],
    ];
    for (const [name, description] of messages) {
      expect(runbook).toContain(`\n### ${name}\n`);
      expect(description).toContain(`What to do: infra/README.md, ${name}.`);
    }
  });

  it('are all on the dashboard', () => {
    const body = text(one(operations, 'AWS::CloudWatch::Dashboard').properties.DashboardBody);
    for (const id of Object.keys(propertiesOf(operations, 'AWS::CloudWatch::Alarm')))
      expect(body).toContain(`<${id}.Arn>`);
  });
});

describe('a queue whose first job cannot be placed', () => {
  const synthesised = synthesis('prod');
  const { operations } = synthesised.templates;
  const { properties } = one(operations, 'AWS::Events::Rule');

  it('is told of at once, for each queue that there is and no other', () => {
    const { source, 'detail-type': type, detail } = record(properties.EventPattern);
    expect([source, type]).toEqual([['aws.batch'], ['Batch Job Queue Blocked']]);
    expect(array(record(detail).jobQueue).map(text)).toEqual([
      expect.stringContaining('TrainingCpuFleetQueue'),
      expect.stringContaining('TrainingGpuFleetQueue'),
      expect.stringContaining('BulkFleetQueue'),
    ]);
  });

  it('is told of by a role, because the key lets EventBridge encrypt for nobody', () => {
    const [target = {}] = array(properties.Targets).map(record);
    expect(text(target.Arn)).toMatch(REPORTS);
    const { id } = one(operations, 'AWS::IAM::Role', 'OperationsBlockedRole');
    expect(text(target.RoleArn)).toBe(`<${id}.Arn>`);
    const granted = statements(synthesised).filter(({ holder }) =>
      holder.startsWith('OperationsBlockedRoleDefaultPolicy'),
    );
    expect(granted.flatMap(({ actions }) => actions).toSorted()).toEqual([
      'kms:Decrypt',
      'kms:GenerateDataKey',
      'sns:Publish',
    ]);
  });
});

describe.each([
  { environment: 'dev' as const, dollars: 100 },
  { environment: 'prod' as const, dollars: 500 },
])('the budget of $environment', ({ environment, dollars }) => {
  const { operations } = synthesis(environment).templates;
  const { Budget, NotificationsWithSubscribers } = one(operations, 'AWS::Budgets::Budget').properties;

  it('counts what carries the tags of this environment, a month', () => {
    expect(Budget).toMatchObject({
      BudgetType: 'COST',
      TimeUnit: 'MONTHLY',
      BudgetLimit: { Amount: dollars, Unit: 'USD' },
      FilterExpression: {
        And: [
          { Tags: { Key: 'project', Values: ['edge-clip'] } },
          { Tags: { Key: 'environment', Values: [environment] } },
        ],
      },
    });
  });

  it('tells at 80 % and when all is forecast, and calls the switch when all is spent, and again after a resume', () => {
    const { id } = one(operations, 'AWS::SNS::Topic');
    const sent = array(NotificationsWithSubscribers).map((one) => {
      const { Notification, Subscribers } = record(one);
      const { NotificationType, Threshold } = record(Notification);
      return [NotificationType, Threshold, ...array(Subscribers).map((to) => text(record(to).Address))];
    });
    expect(sent).toEqual([
      ['ACTUAL', 80, expect.stringMatching(REPORTS)],
      ['FORECASTED', 100, expect.stringMatching(REPORTS)],
      ...[100, 150, 200, 300].map((share) => ['ACTUAL', share, `<${id}>`]),
    ]);
    // More are refused: AWS::Budgets::Budget Notification.
    expect(sent.length).toBeLessThanOrEqual(10);
  });
});

describe('the switch of spending', () => {
  const synthesised = synthesis('prod');
  const { operations } = synthesised.templates;
  const { id, properties } = one(operations, 'AWS::Lambda::Function');
  const topic = one(operations, 'AWS::SNS::Topic').id;

  it('is called by its topic, and what came of it is reported', () => {
    const subscription = one(operations, 'AWS::SNS::Subscription', 'OperationsSpending').properties;
    expect(text(subscription.TopicArn)).toBe(`<${topic}>`);
    expect(text(subscription.Endpoint)).toBe(`<${id}.Arn>`);
    const permission = one(operations, 'AWS::Lambda::Permission').properties;
    expect(permission).toMatchObject({ Action: 'lambda:InvokeFunction', Principal: 'sns.amazonaws.com' });
    expect(text(permission.SourceArn)).toBe(`<${topic}>`);
    const { DestinationConfig } = one(operations, 'AWS::Lambda::EventInvokeConfig').properties;
    for (const outcome of ['OnSuccess', 'OnFailure'])
      expect(text(record(record(DestinationConfig)[outcome]).Destination)).toMatch(REPORTS);
  });

  it('knows every queue, the machine, and every schedule with its setting', () => {
    const variables = record(record(properties.Environment).Variables);
    const { queues, state_machine, schedules } = Spending.parse(JSON.parse(text(variables.SPENDING)));
    expect(queues).toHaveLength(3);
    expect(state_machine).toContain('TrainingPipelineStateMachine');
    expect(schedules).toEqual([{ name: expect.stringContaining('TrainingScheduleRecipe'), enabled: true }]);
  });

  it('may do that and nothing else', () => {
    const mine = statements(synthesised).filter(({ holder }) =>
      holder.startsWith('OperationsSpendingSwitchRoleDefaultPolicy'),
    );
    expect(mine.flatMap(({ actions }) => actions).toSorted()).toEqual([
      'batch:ListJobs',
      'batch:TerminateJob',
      'batch:UpdateJobQueue',
      'iam:PassRole',
      'kms:Decrypt',
      'kms:GenerateDataKey',
      'logs:CreateLogStream',
      'logs:PutLogEvents',
      'scheduler:GetSchedule',
      'scheduler:UpdateSchedule',
      'sns:Publish',
      'states:ListExecutions',
      'states:StopExecution',
    ]);
    const passed = mine.find(({ actions }) => actions.includes('iam:PassRole'));
    expect(passed?.resources).toEqual([
      expect.stringMatching(/^<edge-clip-prod-training:PublishOutputFnGetAttSchedulerRoleForTarget\w+Arn\w+>$/),
    ]);
    expect(passed?.condition).toEqual({ StringEquals: { 'iam:PassedToService': 'scheduler.amazonaws.com' } });
  });
});

describe('who is told', () => {
  it('is an address that the deployment says, and nobody without one', () => {
    const { operations } = synthesis('prod').templates;
    expect(operations.Parameters.NotifyEmail).toMatchObject({ Type: 'String', Default: '' });
    const { properties, id } = one(operations, 'AWS::SNS::Subscription', 'OperationsNotify');
    expect(properties).toMatchObject({ Protocol: 'email', Endpoint: { Ref: 'NotifyEmail' } });
    expect(text(properties.TopicArn)).toMatch(REPORTS);
    expect(operations.Resources[id]?.Condition).toEqual(expect.stringContaining('IsTold'));
  });

  it.each(['training', 'operations'] as const)(
    'may be told by AWS for this account only, at the topic of %s',
    (stack) => {
      const published = statements(synthesis('prod')).filter(
        ({ stack: of, actions, effect, hasPrincipal }) =>
          of === stack && hasPrincipal && effect === 'Allow' && actions.includes('sns:Publish'),
      );
      expect(published).toHaveLength(1);
      expect(published[0]?.condition).toEqual({ StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } });
    },
  );
});
