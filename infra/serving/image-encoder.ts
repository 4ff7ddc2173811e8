// The image encoder: a container on Lambda behind a signed URL, and the permission that the Worker signs with.
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import type { Settings } from '../environments.ts';
import { imageDigest } from '../image-digest.ts';
import { allow } from '../rules/allow.ts';
import type { Data } from '../storage/storage.ts';

export interface EncodingProps {
  settings: Settings;
  data: Data;
}

export class Encoding extends Construct {
  readonly url: lambda.FunctionUrl;
  /**
   * What the Worker may do: call this URL. A policy and no more, because who the Worker is (a role that its OIDC token
   * assumes, or a user whose key is rotated) is decided outside, and a template that made a key would have to hold it.
   */
  readonly workerAccess: iam.ManagedPolicy;

  constructor(scope: Construct, id: string, { settings, data }: EncodingProps) {
    super(scope, id);
    const logGroup = new logs.LogGroup(this, 'Logs', {
      retention: settings.log_days,
      removalPolicy: settings.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    const role = new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      description: 'What the image encoder may do: log, and read published models',
    });
    allow(role, ['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]);
    data.registry.grantServe(role);
    const { model_name, reserved_concurrency } = settings.encoder;
    const encoder = new lambda.DockerImageFunction(this, 'Function', {
      code: lambda.DockerImageCode.fromEcr(data.encoderImages, {
        tagOrDigest: imageDigest(Stack.of(this), 'EncoderImageDigest'),
      }),
      architecture: lambda.Architecture.ARM_64,
      memorySize: 3008,
      timeout: Duration.seconds(60),
      reservedConcurrentExecutions: reserved_concurrency ?? undefined,
      role,
      logGroup,
      environment: {
        ...data.registry.environment,
        ...(model_name === null ? {} : { [ENVARS.modelName]: model_name }),
      },
    });
    this.url = encoder.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.AWS_IAM });
    this.workerAccess = new iam.ManagedPolicy(this, 'WorkerAccess', {
      description: 'Calls the image encoder by its URL; for the identity that the Worker signs with',
    });
    // Both permissions that a URL asks of its callers, the second one for calls through a URL only.
    this.url.grantInvokeUrl(this.workerAccess);
  }
}
