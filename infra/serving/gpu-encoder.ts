// The image encoder with a GPU: the same service on machines that Lambda starts and looks after, behind a URL of its own.
import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { acknowledge } from '../base/acknowledge.ts';
import { grantActions } from '../base/grants.ts';
import { imageDigest } from '../base/parameter.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';
import { tagsOf } from '../base/tags.ts';
import type { Network } from '../network/network.ts';
import type { Storage } from '../storage/storage.ts';
import { GPU_FUNCTION, type GpuSettings, gpuMachines } from './gpu-machines.ts';
import { encoderEnvironment, encoderRole } from './image-encoder.ts';

/** Calls at a time in one environment: images of all of them share batches, and more of them only wait. */
const CALLS_AT_A_TIME = 16;

export interface GpuEncoderProps {
  /** Read here: the machines, the model that is followed, and how long logs are kept. */
  settings: Settings;
  gpu: GpuSettings;
  /** Where its machines run. */
  network: Network;
  /** Holds the encoder's images, and the registry and the uploads that it reads. */
  storage: Storage;
  /** Of the Worker, which is let in. */
  workerAccess: iam.ManagedPolicy;
}

export class GpuEncoder extends Construct {
  readonly url: lambda.FunctionUrl;
  readonly function: lambda.Function;

  constructor(scope: Construct, id: string, { settings, gpu, network, storage, workerAccess }: GpuEncoderProps) {
    super(scope, id);
    const logGroup = createLogGroup(this, 'Logs', settings);
    this.function = new lambda.DockerImageFunction(this, 'Function', {
      code: lambda.DockerImageCode.fromEcr(storage.encoderImages, {
        tagOrDigest: imageDigest(Stack.of(this), 'EncoderGpuImageDigest'),
      }),
      // The only one that there are GPUs with.
      architecture: lambda.Architecture.X86_64,
      memorySize: GPU_FUNCTION.memory_mib,
      timeout: Duration.seconds(60),
      role: encoderRole(this, { storage, logGroup }),
      logGroup,
      environment: {
        ...encoderEnvironment(settings, storage),
        [ENVARS.encoderProvider]: 'cuda',
        // By default one thread of Node for each vCPU, and each would put the model into the GPU's memory once more.
        AWS_LAMBDA_NODEJS_WORKER_COUNT: '1',
      },
    });
    this.place(gpu, settings, network);
    // Without a version in it, a URL of such a function calls its latest published version.
    this.url = this.function.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.AWS_IAM });
    this.url.grantInvokeUrl(workerAccess);
  }

  /** On which machines, how many of them, and how much of the GPU. */
  private place(gpu: GpuSettings, settings: Settings, network: Network): void {
    const { types, onDemandMaxVcpus } = gpuMachines(gpu);
    const { subnets } = network.vpc.selectSubnets(network.subnets);
    const machines = new lambda.CapacityProvider(this, 'Machines', {
      subnets,
      securityGroups: [network.securityGroup],
      operatorRole: this.operatorRole(subnets, network.securityGroup),
      architectures: [lambda.Architecture.X86_64],
      instanceTypeFilter: lambda.InstanceTypeFilter.allow(types.map(({ type }) => new ec2.InstanceType(type))),
      maxVCpuCount: onDemandMaxVcpus,
      // The budget counts what carries them.
      propagateTags: lambda.PropagateTags.explicit(tagsOf(settings.name)),
      logGroup: createLogGroup(this, 'MachineLogs', settings),
    });
    machines.addFunction(this.function, {
      perExecutionEnvironmentMaxConcurrency: CALLS_AT_A_TIME,
      executionEnvironmentMemoryGiBPerVCpu: GPU_FUNCTION.memory_mib / 1024 / GPU_FUNCTION.vcpus,
      publishToLatestPublished: true,
      // Without these numbers there are three at least.
      latestPublishedScalingConfig: {
        minExecutionEnvironments: gpu.least_machines,
        maxExecutionEnvironments: gpu.most_machines,
      },
    });
    const { defaultChild } = this.function.node;
    if (!(defaultChild instanceof lambda.CfnFunction)) throw new TypeError('a function without its resource');
    // The library has no field for it yet, and neither has the schema that templates are checked against.
    defaultChild.addPropertyOverride('AcceleratorConfig', { AcceleratorMemorySize: gpu.memory_gib });
    acknowledge(
      defaultChild,
      'CloudFormation-Validate::F3002',
      'AcceleratorConfig is in the reference of AWS::Lambda::Function and not yet in the schema of this version.',
    );
  }

  /** What Lambda may do to start machines and end them: AWS's managed policy for it, of this region, these subnets and this group. */
  private operatorRole(subnets: ec2.ISubnet[], securityGroup: ec2.SecurityGroup): iam.Role {
    const role = new iam.Role(this, 'OperatorRole', {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      description: 'What Lambda may do to look after the machines of the image encoder',
    });
    const arn = (resource: string, resourceName: string, own: { account?: string } = {}) =>
      Stack.of(this).formatArn({
        service: 'ec2',
        resource,
        resourceName,
        arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
        ...own,
      });
    grantActions(role, {
      actions: ['ec2:RunInstances', 'ec2:CreateTags', 'ec2:AttachNetworkInterface'],
      resources: ['instance', 'network-interface', 'volume'].map((resource) => arn(resource, '*')),
      conditions: { StringEquals: { 'ec2:ManagedResourceOperator': 'scaler.lambda.amazonaws.com' } },
    });
    grantActions(role, {
      actions: ['ec2:RunInstances', 'ec2:CreateNetworkInterface'],
      resources: [
        ...subnets.map(({ subnetId }) => arn('subnet', subnetId)),
        arn('security-group', securityGroup.securityGroupId),
      ],
    });
    grantActions(role, {
      actions: ['ec2:RunInstances'],
      resources: [arn('image', '*', { account: '' })],
      conditions: { StringEquals: { 'ec2:Owner': 'amazon' } },
    });
    grantActions(role, {
      actions: [
        'ec2:DescribeAvailabilityZones',
        'ec2:DescribeCapacityReservations',
        'ec2:DescribeInstanceStatus',
        'ec2:DescribeInstanceTypeOfferings',
        'ec2:DescribeInstanceTypes',
        'ec2:DescribeInstances',
        'ec2:DescribeSecurityGroups',
        'ec2:DescribeSubnets',
      ],
      resources: ['*'],
    });
    return role;
  }
}
