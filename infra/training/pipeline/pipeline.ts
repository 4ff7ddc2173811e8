// The training pipeline: the state machine, its role and the topic that it reports to.
import { ArnFormat, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as sns from 'aws-cdk-lib/aws-sns';
import * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { grantActions } from '../../base/grants.ts';
import { createLogGroup, statesLogName } from '../../base/retention.ts';
import type { Settings } from '../../base/settings.ts';
import { createTopic } from '../../base/topic.ts';
import type { Storage } from '../../storage/storage.ts';
import type { ControlFunctions } from '../control-functions.ts';
import { pipelineDefinition } from './definition.ts';

export interface PipelineProps {
  /** Read here: how long the log of executions is kept. */
  settings: Settings;
  /** Holds the table of locks and runs, and the key of the topic. */
  storage: Storage;
  /** What the states Plan, Gate and Publish call. */
  functions: ControlFunctions;
}

export class Pipeline extends Construct {
  readonly stateMachine: sfn.StateMachine;
  /** Decisions, failures and alarms, for subscribers. */
  readonly topic: sns.Topic;
  readonly role: iam.Role;

  constructor(scope: Construct, id: string, { settings, storage, functions }: PipelineProps) {
    super(scope, id);
    this.topic = createTopic(this, 'Reports', { key: storage.key, publishers: ['budgets', 'cloudwatch'] });
    this.role = new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('states.amazonaws.com'),
      description: 'What the training pipeline may do',
    });
    const { plan, gate, publish } = functions;
    grantActions(this.role, {
      actions: ['lambda:InvokeFunction'],
      resources: [plan.functionArn, gate.functionArn, publish.functionArn],
    });
    storage.grantRecord(this.role);
    grantActions(this.role, { actions: ['sns:Publish'], resources: [this.topic.topicArn] });
    grantActions(this.role, { actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [storage.key.keyArn] });
    // Step Functions is told of a job's end by a rule of its own, which has this name in every account.
    const rule = { service: 'events', resource: 'rule', resourceName: 'StepFunctionsGetEventsForBatchJobsRule' };
    grantActions(this.role, {
      actions: ['events:PutTargets', 'events:PutRule', 'events:DescribeRule'],
      resources: [Stack.of(this).formatArn(rule)],
    });

    const definition = pipelineDefinition({
      table: storage.runs.tableName,
      topic: this.topic.topicArn,
      plan: plan.functionArn,
      gate: gate.functionArn,
      publish: publish.functionArn,
    });
    this.stateMachine = new sfn.StateMachine(this, 'StateMachine', {
      definitionBody: sfn.DefinitionBody.fromString(Stack.of(this).toJsonString(definition)),
      stateMachineType: sfn.StateMachineType.STANDARD,
      role: this.role,
      tracingEnabled: true,
      logs: {
        level: sfn.LogLevel.ALL,
        includeExecutionData: true,
        destination: createLogGroup(this, 'Logs', { ...settings, logGroupName: statesLogName() }),
      },
    });
    // A separate policy: in the role's own it would name the machine, which has to wait for the role.
    new iam.Policy(this, 'ReadHolder', {
      roles: [this.role],
      statements: [
        new iam.PolicyStatement({
          actions: ['states:DescribeExecution'],
          resources: [
            Stack.of(this).formatArn({
              service: 'states',
              resource: 'execution',
              resourceName: `${this.stateMachine.stateMachineName}:*`,
              arnFormat: ArnFormat.COLON_RESOURCE_NAME,
            }),
          ],
        }),
      ],
    });
  }
}
