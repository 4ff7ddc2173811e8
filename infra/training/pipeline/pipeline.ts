// The state machine that trains, with the role it does it in and the topic it reports to.
import { ArnFormat, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { Settings } from '../../environments.ts';
import { allow } from '../../rules/allow.ts';
import type { Data } from '../../storage/storage.ts';
import type { ControlFunctions } from '../control-functions.ts';
import { pipelineDefinition } from './definition.ts';

export interface PipelineProps {
  settings: Settings;
  data: Data;
  functions: ControlFunctions;
}

export class Pipeline extends Construct {
  readonly stateMachine: sfn.StateMachine;
  /** What was decided, and what went wrong. Whoever wants to hear of it subscribes. */
  readonly topic: sns.Topic;
  readonly role: iam.Role;

  constructor(scope: Construct, id: string, { settings, data, functions }: PipelineProps) {
    super(scope, id);
    this.topic = new sns.Topic(this, 'Reports', { masterKey: data.key, enforceSSL: true });
    this.role = new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('states.amazonaws.com'),
      description: 'What the training pipeline may do',
    });
    const { plan, gate, publish } = functions;
    allow(this.role, ['lambda:InvokeFunction'], [plan.functionArn, gate.functionArn, publish.functionArn]);
    data.grantRecord(this.role);
    allow(this.role, ['sns:Publish'], [this.topic.topicArn]);
    allow(this.role, ['kms:Decrypt', 'kms:GenerateDataKey'], [data.key.keyArn]);
    // How Step Functions learns that a job has ended: a rule of its own, with this name in every account.
    const rule = { service: 'events', resource: 'rule', resourceName: 'StepFunctionsGetEventsForBatchJobsRule' };
    allow(this.role, ['events:PutTargets', 'events:PutRule', 'events:DescribeRule'], [Stack.of(this).formatArn(rule)]);

    const definition = pipelineDefinition({
      table: data.runs.tableName,
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
        destination: new logs.LogGroup(this, 'Logs', {
          retention: settings.log_days,
          removalPolicy: settings.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
        }),
      },
    });
    // A policy of its own: in the role's it would name the machine that has to wait for the role.
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
