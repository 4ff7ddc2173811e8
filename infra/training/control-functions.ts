// The pipeline's three functions: plan, gate and publish. Referred to by path, bundled by esbuild.
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { Duration, Stack } from 'aws-cdk-lib';
import type * as batch from 'aws-cdk-lib/aws-batch';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as nodejs from 'aws-cdk-lib/aws-lambda-nodejs';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { bySomeJobClasses, type JobClass } from '../../contracts/src/job-classes.ts';
import { grantActions } from '../base/grants.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';
import type { Storage } from '../storage/storage.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const CONTROL = join(ROOT, 'trainer', 'control');

/** The publisher copies files whole, one at a time. */
const PUBLISHER = { memorySize: 1024, timeout: Duration.minutes(10) };

export interface ControlFunctionsProps {
  /** Read here: how long logs are kept. */
  settings: Settings;
  /** What the functions read and write. */
  storage: Storage;
  /** Where the planner submits jobs of each class, and as what. */
  queues: Readonly<Partial<Record<JobClass, batch.JobQueue>>>;
  definitions: Readonly<Partial<Record<JobClass, batch.IJobDefinition>>>;
}

interface Options {
  settings: Settings;
  environment: Record<string, string>;
  /** @default - 512 MiB */
  memorySize?: number;
  /** @default - two minutes */
  timeout?: Duration;
}

export class ControlFunctions extends Construct {
  readonly plan: lambda.Function;
  readonly gate: lambda.Function;
  readonly publish: lambda.Function;

  constructor(scope: Construct, id: string, { settings, storage, queues, definitions }: ControlFunctionsProps) {
    super(scope, id);
    const bucket = { [ENVARS.trainingBucket]: storage.trainingBucket.bucketName };
    const arns = (arnOf: (jobClass: JobClass) => string | undefined) =>
      Stack.of(this).toJsonString(bySomeJobClasses(arnOf));

    const registry = storage.registry.environment;
    this.plan = this.function('Plan', {
      settings,
      environment: {
        ...bucket,
        [ENVARS.jobQueues]: arns((jobClass) => queues[jobClass]?.jobQueueArn),
        [ENVARS.jobDefinitions]: arns((jobClass) => definitions[jobClass]?.jobDefinitionArn),
        [ENVARS.codeDigests]: codeDigests(),
      },
    });
    storage.grantPlan(this.plan);

    this.gate = this.function('Gate', { settings, environment: { ...bucket, ...registry } });
    storage.grantReadRuns(this.gate);
    storage.registry.grantReadModels(this.gate);

    this.publish = this.function('Publish', { settings, environment: { ...bucket, ...registry }, ...PUBLISHER });
    storage.grantReadRuns(this.publish);
    storage.registry.grantPublish(this.publish);
  }

  /** `Plan` is `trainer/control/lambda/plan.ts`. */
  private function(name: string, { settings, environment, memorySize = 512, timeout = Duration.minutes(2) }: Options) {
    const logGroup = createLogGroup(this, `${name}Logs`, settings);
    // A role of our own: the library's comes with a managed policy that writes to every log group.
    const role = new iam.Role(this, `${name}Role`, {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      description: `What state ${name} of the training pipeline may do`,
    });
    grantActions(role, {
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [logGroup.logGroupArn],
    });
    return new nodejs.NodejsFunction(this, name, {
      entry: join(CONTROL, 'lambda', `${name.toLowerCase()}.ts`),
      handler: 'handler',
      runtime: lambda.Runtime.NODEJS_24_X,
      architecture: lambda.Architecture.ARM_64,
      memorySize,
      timeout,
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

/** Digests of the source that each stage executes in the trainer's image of this checkout, by the control plane's program. */
function codeDigests(): string {
  return execFileSync(process.execPath, [join(CONTROL, 'plan', 'code-digest.ts')], { encoding: 'utf8' }).trim();
}
