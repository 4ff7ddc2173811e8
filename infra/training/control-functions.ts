// The three functions of the pipeline that decide: plan, gate and publish. Referred to by path, bundled by esbuild.

import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type * as batch from 'aws-cdk-lib/aws-batch';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as nodejs from 'aws-cdk-lib/aws-lambda-nodejs';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { byJobClass, type JobClass } from '../../contracts/src/job-classes.ts';
import type { Settings } from '../environments.ts';
import { allow } from '../rules/allow.ts';
import type { Data } from '../storage/storage.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const CONTROL = join(ROOT, 'trainer', 'control');

export interface ControlFunctionsProps {
  settings: Settings;
  data: Data;
  queues: Readonly<Record<JobClass, batch.JobQueue>>;
  definitions: Readonly<Record<JobClass, batch.EcsJobDefinition>>;
}

export class ControlFunctions extends Construct {
  readonly plan: lambda.Function;
  readonly gate: lambda.Function;
  readonly publish: lambda.Function;

  constructor(scope: Construct, id: string, { settings, data, queues, definitions }: ControlFunctionsProps) {
    super(scope, id);
    const bucket = { [ENVARS.trainingBucket]: data.trainingBucket.bucketName };
    const arns = (of: (jobClass: JobClass) => string) => Stack.of(this).toJsonString(byJobClass(of));

    this.plan = this.function('Plan', 'plan.ts', settings, {
      ...bucket,
      [ENVARS.jobQueues]: arns((jobClass) => queues[jobClass].jobQueueArn),
      [ENVARS.jobDefinitions]: arns((jobClass) => definitions[jobClass].jobDefinitionArn),
      [ENVARS.codeDigests]: codeDigests(),
    });
    data.grantPlan(this.plan);

    this.gate = this.function('Gate', 'gate.ts', settings, { ...bucket, ...data.registry.environment });
    data.grantReadRuns(this.gate);
    data.registry.grantReadModels(this.gate);

    this.publish = this.function('Publish', 'publish.ts', settings, { ...bucket, ...data.registry.environment });
    data.grantReadRuns(this.publish);
    data.registry.grantPublish(this.publish);
  }

  private function(name: string, file: string, settings: Settings, environment: Record<string, string>) {
    const logGroup = new logs.LogGroup(this, `${name}Logs`, {
      retention: settings.log_days,
      removalPolicy: settings.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    // A role of our own: the library's comes with a managed policy that writes to every log group.
    const role = new iam.Role(this, `${name}Role`, {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      description: `What state ${name} of the training pipeline may do`,
    });
    allow(role, ['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]);
    return new nodejs.NodejsFunction(this, name, {
      entry: join(CONTROL, 'lambda', file),
      handler: 'handler',
      runtime: lambda.Runtime.NODEJS_24_X,
      architecture: lambda.Architecture.ARM_64,
      // Files pass through the publisher whole, one at a time.
      memorySize: name === 'Publish' ? 1024 : 512,
      timeout: name === 'Publish' ? Duration.minutes(10) : Duration.minutes(2),
      role,
      logGroup,
      environment,
      projectRoot: ROOT,
      depsLockFilePath: join(ROOT, 'package-lock.json'),
      bundling: {
        format: nodejs.OutputFormat.ESM,
        target: 'node24',
        // The SDK that the tests ran with, not the one that the runtime happens to bring.
        externalModules: [],
        // Parts of the SDK still call `require`, which an ES module does not have.
        banner: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
  }
}

/** What the trainer's image of this checkout executes, stage by stage; the control plane's own program says it. */
function codeDigests(): string {
  return execFileSync(process.execPath, [join(CONTROL, 'plan', 'code-digest.ts')], { encoding: 'utf8' }).trim();
}
