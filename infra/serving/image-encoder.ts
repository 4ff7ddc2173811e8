// The image encoder: a container on Lambda behind a signed URL, and the permission that the Worker signs with.
import { Aws, CfnCondition, Duration, Fn, Stack, Token } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { grantActions } from '../base/grants.ts';
import { imageDigest, stackParameter } from '../base/parameter.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';
import type { Storage } from '../storage/storage.ts';
import { ENCODER_MEMORY_MIB } from './break-even.ts';

export interface ImageEncoderProps {
  /** Read here: concurrency, the model that is followed, and how long logs are kept. */
  settings: Settings;
  /** Holds the encoder's images, and the registry and the uploads that it reads. */
  storage: Storage;
}

export class ImageEncoder extends Construct {
  readonly url: lambda.FunctionUrl;
  readonly function: lambda.Function;
  /**
   * The Worker's permission to call this URL, to which others are added. Only a policy: who the Worker is (a role that its OIDC token assumes, or a
   * user whose key is rotated) is decided outside, and a template that made a key would have to hold it.
   */
  readonly workerAccess: iam.ManagedPolicy;

  constructor(scope: Construct, id: string, { settings, storage }: ImageEncoderProps) {
    super(scope, id);
    const logGroup = createLogGroup(this, 'Logs', settings);
    const { reserved_concurrency } = settings.encoder;
    const isReserved = new CfnCondition(this, 'IsReserved', {
      expression: Fn.conditionEquals(stackParameter(Stack.of(this), 'EncoderReservation').valueAsString, 'setting'),
    });
    const encoder = new lambda.DockerImageFunction(this, 'Function', {
      code: lambda.DockerImageCode.fromEcr(storage.encoderImages, {
        tagOrDigest: imageDigest(Stack.of(this), 'EncoderImageDigest'),
      }),
      architecture: lambda.Architecture.ARM_64,
      memorySize: ENCODER_MEMORY_MIB,
      timeout: Duration.seconds(60),
      reservedConcurrentExecutions: Token.asNumber(
        Fn.conditionIf(isReserved.logicalId, reserved_concurrency, Aws.NO_VALUE),
      ),
      role: encoderRole(this, { storage, logGroup }),
      logGroup,
      environment: encoderEnvironment(settings, storage),
    });
    this.function = encoder;
    this.url = encoder.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.AWS_IAM });
    this.workerAccess = new iam.ManagedPolicy(this, 'WorkerAccess', {
      description: 'What the Worker may do; for the identity that it signs with',
    });
    // Both permissions that a URL asks of its callers, the second one for calls through a URL only.
    this.url.grantInvokeUrl(this.workerAccess);
  }
}

/** What either image encoder may do. */
export function encoderRole(
  scope: Construct,
  { storage, logGroup }: { storage: Storage; logGroup: logs.LogGroup },
): iam.Role {
  const role = new iam.Role(scope, 'Role', {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    description: 'What the image encoder may do: log, read published models and files that were too large for a call',
  });
  grantActions(role, {
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    resources: [logGroup.logGroupArn],
  });
  storage.registry.grantServe(role);
  storage.grantReadUploads(role);
  return role;
}

/** What either image encoder is told. */
export function encoderEnvironment(settings: Settings, storage: Storage): Record<string, string> {
  return { ...modelEnvironment(settings, storage), [ENVARS.uploads]: `s3://${storage.jobsBucket.bucketName}` };
}

/** Which model is followed, and where it is published: for the encoders and for bulk jobs. */
export function modelEnvironment({ encoder: { model_name } }: Settings, storage: Storage): Record<string, string> {
  return { ...storage.registry.environment, ...(model_name === null ? {} : { [ENVARS.modelName]: model_name }) };
}
