// The pipeline's three functions: plan, gate and publish.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Duration, Stack } from 'aws-cdk-lib';
import type * as batch from 'aws-cdk-lib/aws-batch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { bySomeJobClasses, type JobClass } from '../../contracts/src/job-classes.ts';
import { CONTROL, controlFunction } from '../base/control-function.ts';
import type { Settings } from '../base/settings.ts';
import type { Storage } from '../storage/storage.ts';

/** Files are copied whole, one at a time; text weights are packed, and the golden texts embedded with them. */
const MODEL_READER = { memorySize: 1024, timeout: Duration.minutes(10), files: ['api/text/wasm/encoder.relaxed.wasm'] };

export interface ControlFunctionsProps {
  /** Read here: how long logs are kept. */
  settings: Settings;
  /** What the functions read and write. */
  storage: Storage;
  /** Where the planner submits jobs of each class, and as what. */
  queues: Readonly<Partial<Record<JobClass, batch.JobQueue>>>;
  definitions: Readonly<Partial<Record<JobClass, batch.IJobDefinition>>>;
}

export class ControlFunctions extends Construct {
  readonly plan: lambda.Function;
  readonly gate: lambda.Function;
  readonly publish: lambda.Function;
  /** By stage, the digest of the source that it executes. */
  readonly code: Readonly<Record<string, string>>;

  constructor(scope: Construct, id: string, { settings, storage, queues, definitions }: ControlFunctionsProps) {
    super(scope, id);
    const bucket = { [ENVARS.trainingBucket]: storage.trainingBucket.bucketName };
    const arns = (arnOf: (jobClass: JobClass) => string | undefined) =>
      Stack.of(this).toJsonString(bySomeJobClasses(arnOf));

    const registry = storage.registry.environment;
    const common = (name: string) => ({ settings, purpose: `What state ${name} of the training pipeline may do` });
    this.code = codeDigests();
    this.plan = controlFunction(this, 'Plan', {
      ...common('Plan'),
      environment: {
        ...bucket,
        [ENVARS.jobQueues]: arns((jobClass) => queues[jobClass]?.jobQueueArn),
        [ENVARS.jobDefinitions]: arns((jobClass) => definitions[jobClass]?.jobDefinitionArn),
        [ENVARS.codeDigests]: JSON.stringify(this.code),
      },
    });
    storage.grantPlan(this.plan);

    this.gate = controlFunction(this, 'Gate', {
      ...common('Gate'),
      environment: { ...bucket, ...registry },
      ...MODEL_READER,
    });
    storage.grantReadRuns(this.gate);
    storage.registry.grantReadModels(this.gate);

    this.publish = controlFunction(this, 'Publish', {
      ...common('Publish'),
      environment: { ...bucket, ...registry },
      ...MODEL_READER,
    });
    storage.grantReadRuns(this.publish);
    storage.registry.grantPublish(this.publish);
  }
}

/** Digests of the source that each stage executes in the trainer's image of this checkout, by the control plane's program. */
function codeDigests(): Record<string, string> {
  return JSON.parse(execFileSync(process.execPath, [join(CONTROL, 'plan', 'code-digest.ts')], { encoding: 'utf8' }));
}
