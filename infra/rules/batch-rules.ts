// Rules that cdk-nag does not have: what a template must say about Batch, its machines, its jobs and every log.
import { z } from 'zod';
import { isLarge, LARGE_VCPU_BUDGET, VCPU_BUDGET } from '../base/settings.ts';

// Only what the rules read. A property that a rule misses is a finding, hence everything is optional.
const Reference = z.union([z.string(), z.record(z.string(), z.unknown())]);
const LaunchTemplate = z.object({
  LaunchTemplateData: z.object({
    MetadataOptions: z.object({ HttpTokens: z.string(), HttpPutResponseHopLimit: z.number() }).partial().optional(),
    BlockDeviceMappings: z
      .array(z.object({ Ebs: z.object({ Encrypted: z.boolean() }).partial().optional() }))
      .optional(),
  }),
});
const ComputeEnvironment = z.object({
  ComputeResources: z.object({
    Type: z.string(),
    MinvCpus: z.number().optional(),
    MaxvCpus: z.number().optional(),
    InstanceTypes: z.array(z.string()).optional(),
    Ec2Configuration: z.array(z.object({ ImageType: z.string().optional() })).optional(),
    PlacementGroup: Reference.optional(),
    Subnets: z.array(z.unknown()).optional(),
    LaunchTemplate: z.object({ Version: Reference.optional() }).optional(),
  }),
});
const JobQueue = z.object({ JobStateTimeLimitActions: z.array(z.object({ Reason: z.string() })).optional() });
const Container = z.object({
  Image: z.unknown(),
  Privileged: z.boolean().optional(),
  LogConfiguration: z.object({ LogDriver: z.string() }).optional(),
  NetworkConfiguration: z.object({ AssignPublicIp: z.string().optional() }).optional(),
});
const JobDefinition = z.object({
  Timeout: z.object({ AttemptDurationSeconds: z.number().optional() }).optional(),
  RetryStrategy: z
    .object({
      Attempts: z.number().optional(),
      EvaluateOnExit: z
        .array(z.object({ Action: z.string(), OnReason: z.string().optional(), OnExitCode: z.string().optional() }))
        .optional(),
    })
    .optional(),
  ContainerProperties: Container.optional(),
  // Of a multi-node job.
  NodeProperties: z.object({ NodeRangeProperties: z.array(z.object({ Container })) }).optional(),
});
const Subnet = z.object({ MapPublicIpOnLaunch: z.boolean().optional() });
const LogGroup = z.object({ RetentionInDays: z.number().optional() });

export interface Rule {
  name: string;
  type: string;
  description: string;
  /** Whether the properties of one resource of this type are as they should be. */
  holds: (properties: unknown) => boolean;
}

interface TypedRule<T> extends Omit<Rule, 'holds'> {
  schema: z.ZodType<T>;
  holds: (properties: T) => boolean;
}

function rule<T>({ schema, holds, ...named }: TypedRule<T>): Rule {
  return { ...named, holds: (properties) => holds(schema.parse(properties)) };
}

const STUCK = [
  'CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY',
  'MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE',
  'MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT',
];

/** Whether every container of a job definition, which has one at least, is as it should be. */
const everyContainer =
  (holds: (container: z.infer<typeof Container>) => boolean) =>
  ({ ContainerProperties, NodeProperties }: z.infer<typeof JobDefinition>): boolean => {
    const ofNodes = NodeProperties?.NodeRangeProperties.map((range) => range.Container) ?? [];
    const containers = [...(ContainerProperties === undefined ? [] : [ContainerProperties]), ...ofNodes];
    return containers.length > 0 && containers.every(holds);
  };
const onEc2 = (type: string) => type === 'EC2' || type === 'SPOT';

export const RULES: readonly Rule[] = [
  rule({
    name: 'MachineMetadata',
    type: 'AWS::EC2::LaunchTemplate',
    schema: LaunchTemplate,
    description: 'A machine answers IMDSv2 only, one hop away.',
    holds: ({ LaunchTemplateData: { MetadataOptions } }) =>
      MetadataOptions?.HttpTokens === 'required' && MetadataOptions.HttpPutResponseHopLimit === 1,
  }),
  rule({
    name: 'MachineDiskEncrypted',
    type: 'AWS::EC2::LaunchTemplate',
    schema: LaunchTemplate,
    description: 'Every disk of a machine is named and encrypted.',
    holds: ({ LaunchTemplateData: { BlockDeviceMappings = [] } }) =>
      BlockDeviceMappings.length > 0 && BlockDeviceMappings.every(({ Ebs }) => Ebs?.Encrypted === true),
  }),
  rule({
    name: 'MachineTemplateVersion',
    type: 'AWS::Batch::ComputeEnvironment',
    schema: ComputeEnvironment,
    description: 'A launch template is named with its version: the default one never changes.',
    holds: ({ ComputeResources: { Type, LaunchTemplate: template } }) =>
      !onEc2(Type) || typeof template?.Version === 'object',
  }),
  rule({
    name: 'MachineImage',
    type: 'AWS::Batch::ComputeEnvironment',
    schema: ComputeEnvironment,
    description: 'GPU machines start from ECS_AL2023_NVIDIA, said explicitly.',
    holds: ({ ComputeResources: { Type, Ec2Configuration = [] } }) =>
      !onEc2(Type) ||
      (Ec2Configuration.length > 0 && Ec2Configuration.every(({ ImageType }) => ImageType === 'ECS_AL2023_NVIDIA')),
  }),
  rule({
    name: 'MachineKinds',
    type: 'AWS::Batch::ComputeEnvironment',
    schema: ComputeEnvironment,
    description: 'Instance types are listed: "optimal" and its like have no GPU.',
    holds: ({ ComputeResources: { Type, InstanceTypes = [] } }) =>
      !onEc2(Type) || (InstanceTypes.length > 0 && InstanceTypes.every((kind) => /^[a-z0-9-]+\.[a-z0-9]+$/.test(kind))),
  }),
  rule({
    name: 'IdleCostsNothing',
    type: 'AWS::Batch::ComputeEnvironment',
    schema: ComputeEnvironment,
    description: 'No machine runs while nothing is queued.',
    holds: ({ ComputeResources: { Type, MinvCpus } }) => !onEc2(Type) || MinvCpus === 0,
  }),
  rule({
    name: 'VcpuBudget',
    type: 'AWS::Batch::ComputeEnvironment',
    schema: ComputeEnvironment,
    description: `No environment grows beyond ${VCPU_BUDGET} vCPUs, or ${LARGE_VCPU_BUDGET} where it has machines of more than 16.`,
    holds: ({ ComputeResources: { MaxvCpus, InstanceTypes = [] } }) =>
      MaxvCpus !== undefined && MaxvCpus <= (InstanceTypes.some(isLarge) ? LARGE_VCPU_BUDGET : VCPU_BUDGET),
  }),
  rule({
    name: 'NeighboursTogether',
    type: 'AWS::Batch::ComputeEnvironment',
    schema: ComputeEnvironment,
    description:
      'Machines in a placement group are on demand and in one zone: Batch runs multi-node jobs on no others.',
    holds: ({ ComputeResources: { Type, PlacementGroup, Subnets = [] } }) =>
      PlacementGroup === undefined || (Type === 'EC2' && Subnets.length === 1),
  }),
  rule({
    name: 'QueueTimeLimits',
    type: 'AWS::Batch::JobQueue',
    schema: JobQueue,
    description: 'A job that cannot be placed is ended, for each reason that Batch acts on.',
    holds: ({ JobStateTimeLimitActions = [] }) =>
      STUCK.every((reason) => JobStateTimeLimitActions.some(({ Reason }) => Reason === reason)),
  }),
  rule({
    name: 'JobTimeout',
    type: 'AWS::Batch::JobDefinition',
    schema: JobDefinition,
    description: 'An attempt ends after a stated time.',
    holds: ({ Timeout }) => (Timeout?.AttemptDurationSeconds ?? 0) > 0,
  }),
  rule({
    name: 'JobRetries',
    type: 'AWS::Batch::JobDefinition',
    schema: JobDefinition,
    description: 'Retries are stated, and the last entry ends whatever none before it matched.',
    holds: ({ RetryStrategy }) => {
      const last = RetryStrategy?.EvaluateOnExit?.at(-1);
      return (
        (RetryStrategy?.Attempts ?? 0) > 1 &&
        last?.Action.toUpperCase() === 'EXIT' &&
        last.OnReason === '*' &&
        last.OnExitCode === undefined
      );
    },
  }),
  rule({
    name: 'JobNotPrivileged',
    type: 'AWS::Batch::JobDefinition',
    schema: JobDefinition,
    description: 'A container has no power over its machine.',
    holds: everyContainer(({ Privileged }) => Privileged !== true),
  }),
  rule({
    name: 'JobLog',
    type: 'AWS::Batch::JobDefinition',
    schema: JobDefinition,
    description: 'A container logs to CloudWatch, into a group with a name.',
    holds: everyContainer(({ LogConfiguration }) => LogConfiguration?.LogDriver === 'awslogs'),
  }),
  rule({
    name: 'JobImageDigest',
    type: 'AWS::Batch::JobDefinition',
    schema: JobDefinition,
    description: 'An image is named by its digest.',
    holds: everyContainer(({ Image }) => JSON.stringify(Image ?? null).includes('@sha256:')),
  }),
  rule({
    name: 'JobPublicAddress',
    type: 'AWS::Batch::JobDefinition',
    schema: JobDefinition,
    description: 'A container has no public address.',
    holds: everyContainer(({ NetworkConfiguration }) => NetworkConfiguration?.AssignPublicIp !== 'ENABLED'),
  }),
  rule({
    name: 'SubnetPublicAddress',
    type: 'AWS::EC2::Subnet',
    schema: Subnet,
    description: 'A machine has no public address.',
    holds: ({ MapPublicIpOnLaunch }) => MapPublicIpOnLaunch !== true,
  }),
  rule({
    name: 'LogRetention',
    type: 'AWS::Logs::LogGroup',
    schema: LogGroup,
    description: 'Logs are kept for a stated time.',
    holds: ({ RetentionInDays }) => (RetentionInDays ?? 0) > 0,
  }),
];
