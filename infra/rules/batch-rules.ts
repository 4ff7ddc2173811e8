// Rules that cdk-nag does not have: what a template must say about Batch, its machines, its jobs and every log.

import { z } from 'zod';
import { VCPU_BUDGET } from '../environments.ts';

// Only what the rules look at. Properties that a rule misses are findings, hence everything is optional.
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
    LaunchTemplate: z.object({ Version: Reference.optional() }).optional(),
  }),
});
const JobQueue = z.object({ JobStateTimeLimitActions: z.array(z.object({ Reason: z.string() })).optional() });
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
  ContainerProperties: z.object({
    Image: z.unknown(),
    Privileged: z.boolean().optional(),
    LogConfiguration: z.object({ LogDriver: z.string() }).optional(),
    NetworkConfiguration: z.object({ AssignPublicIp: z.string().optional() }).optional(),
  }),
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

function rule<T>(
  name: string,
  type: string,
  schema: z.ZodType<T>,
  description: string,
  holds: (properties: T) => boolean,
) {
  return { name, type, description, holds: (properties: unknown) => holds(schema.parse(properties)) } satisfies Rule;
}

const STUCK = [
  'CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY',
  'MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE',
  'MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT',
];
const onEc2 = (type: string) => type === 'EC2' || type === 'SPOT';

export const RULES: readonly Rule[] = [
  rule(
    'MachineMetadata',
    'AWS::EC2::LaunchTemplate',
    LaunchTemplate,
    'A machine answers IMDSv2 only, one hop away.',
    ({ LaunchTemplateData: { MetadataOptions } }) =>
      MetadataOptions?.HttpTokens === 'required' && MetadataOptions.HttpPutResponseHopLimit === 1,
  ),
  rule(
    'MachineDiskEncrypted',
    'AWS::EC2::LaunchTemplate',
    LaunchTemplate,
    'Every disk of a machine is named and encrypted.',
    ({ LaunchTemplateData: { BlockDeviceMappings = [] } }) =>
      BlockDeviceMappings.length > 0 && BlockDeviceMappings.every(({ Ebs }) => Ebs?.Encrypted === true),
  ),
  rule(
    'MachineTemplateVersion',
    'AWS::Batch::ComputeEnvironment',
    ComputeEnvironment,
    'A launch template is named with its version: the default one never changes.',
    ({ ComputeResources: { Type, LaunchTemplate: template } }) => !onEc2(Type) || typeof template?.Version === 'object',
  ),
  rule(
    'MachineImage',
    'AWS::Batch::ComputeEnvironment',
    ComputeEnvironment,
    'GPU machines start from ECS_AL2023_NVIDIA, said explicitly.',
    ({ ComputeResources: { Type, Ec2Configuration = [] } }) =>
      !onEc2(Type) ||
      (Ec2Configuration.length > 0 && Ec2Configuration.every(({ ImageType }) => ImageType === 'ECS_AL2023_NVIDIA')),
  ),
  rule(
    'MachineKinds',
    'AWS::Batch::ComputeEnvironment',
    ComputeEnvironment,
    'Instance types are listed: "optimal" and its like have no GPU.',
    ({ ComputeResources: { Type, InstanceTypes = [] } }) =>
      !onEc2(Type) || (InstanceTypes.length > 0 && InstanceTypes.every((kind) => /^[a-z0-9-]+\.[a-z0-9]+$/.test(kind))),
  ),
  rule(
    'IdleCostsNothing',
    'AWS::Batch::ComputeEnvironment',
    ComputeEnvironment,
    'No machine runs while nothing is queued.',
    ({ ComputeResources: { Type, MinvCpus } }) => !onEc2(Type) || MinvCpus === 0,
  ),
  rule(
    'VcpuBudget',
    'AWS::Batch::ComputeEnvironment',
    ComputeEnvironment,
    `No environment grows beyond ${VCPU_BUDGET} vCPUs.`,
    ({ ComputeResources: { MaxvCpus } }) => MaxvCpus !== undefined && MaxvCpus <= VCPU_BUDGET,
  ),
  rule(
    'QueueTimeLimits',
    'AWS::Batch::JobQueue',
    JobQueue,
    'A job that cannot be placed is ended, for each reason that Batch acts on.',
    ({ JobStateTimeLimitActions = [] }) =>
      STUCK.every((reason) => JobStateTimeLimitActions.some(({ Reason }) => Reason === reason)),
  ),
  rule(
    'JobTimeout',
    'AWS::Batch::JobDefinition',
    JobDefinition,
    'An attempt ends after a stated time.',
    ({ Timeout }) => (Timeout?.AttemptDurationSeconds ?? 0) > 0,
  ),
  rule(
    'JobRetries',
    'AWS::Batch::JobDefinition',
    JobDefinition,
    'Retries are stated, and the last entry ends whatever none before it matched.',
    ({ RetryStrategy }) => {
      const last = RetryStrategy?.EvaluateOnExit?.at(-1);
      return (
        (RetryStrategy?.Attempts ?? 0) > 1 &&
        last?.Action.toUpperCase() === 'EXIT' &&
        last.OnReason === '*' &&
        last.OnExitCode === undefined
      );
    },
  ),
  rule(
    'JobNotPrivileged',
    'AWS::Batch::JobDefinition',
    JobDefinition,
    'A container has no power over its machine.',
    ({ ContainerProperties: { Privileged } }) => Privileged !== true,
  ),
  rule(
    'JobLog',
    'AWS::Batch::JobDefinition',
    JobDefinition,
    'A container logs to CloudWatch, into a group with a name.',
    ({ ContainerProperties: { LogConfiguration } }) => LogConfiguration?.LogDriver === 'awslogs',
  ),
  rule(
    'JobImageDigest',
    'AWS::Batch::JobDefinition',
    JobDefinition,
    'An image is named by its digest.',
    ({ ContainerProperties: { Image } }) => JSON.stringify(Image ?? null).includes('@sha256:'),
  ),
  rule(
    'JobPublicAddress',
    'AWS::Batch::JobDefinition',
    JobDefinition,
    'A container has no public address.',
    ({ ContainerProperties: { NetworkConfiguration } }) => NetworkConfiguration?.AssignPublicIp !== 'ENABLED',
  ),
  rule(
    'SubnetPublicAddress',
    'AWS::EC2::Subnet',
    Subnet,
    'A machine has no public address.',
    ({ MapPublicIpOnLaunch }) => MapPublicIpOnLaunch !== true,
  ),
  rule(
    'LogRetention',
    'AWS::Logs::LogGroup',
    LogGroup,
    'Logs are kept for a stated time.',
    ({ RetentionInDays }) => (RetentionInDays ?? 0) > 0,
  ),
];
