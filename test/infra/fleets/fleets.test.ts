// Both fleets: where jobs of each class are placed, and on what.
import { describe, expect, it } from 'vitest';
import { array, one, propertiesOf, record, synthesis, text } from '../../support/synthesis.ts';

const STUCK = [
  'CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY',
  'MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE',
  'MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT',
];

describe.each([
  { environment: 'dev' as const, maxGpu: [16, 16], maxCpu: [8, 8] },
  { environment: 'prod' as const, maxGpu: [32, 16], maxCpu: [16, 8] },
])('the fleets of $environment', ({ environment, maxGpu, maxCpu }) => {
  const { training } = synthesis(environment).templates;
  const queue = (fleet: string) => one(training, 'AWS::Batch::JobQueue', `Training${fleet}FleetQueue`).properties;
  /** Resources of a queue's compute environments, in the order in which the queue asks them. */
  const ordered = (fleet: string) => {
    const order = array(queue(fleet).ComputeEnvironmentOrder).map(record);
    return order
      .toSorted((a, b) => Number(a.Order) - Number(b.Order))
      .map(({ ComputeEnvironment }) => {
        const [, id = ''] = /^<(\w+)\./.exec(text(ComputeEnvironment)) ?? [];
        const properties = training.Resources[id]?.Properties ?? {};
        return { properties, resources: record(properties.ComputeResources) };
      });
  };

  it('try spot GPU machines first and on-demand ones after them, each with the strategy that suits it', () => {
    expect(
      ordered('Gpu').map(({ resources }) => [resources.Type, resources.AllocationStrategy, resources.MaxvCpus]),
    ).toEqual([
      ['SPOT', 'SPOT_PRICE_CAPACITY_OPTIMIZED', maxGpu[0]],
      ['EC2', 'BEST_FIT_PROGRESSIVE', maxGpu[1]],
    ]);
  });

  it('try spot Fargate first and on-demand Fargate after it', () => {
    expect(ordered('Cpu').map(({ resources }) => [resources.Type, resources.MaxvCpus])).toEqual([
      ['FARGATE_SPOT', maxCpu[0]],
      ['FARGATE', maxCpu[1]],
    ]);
  });

  it('run no machine while nothing is queued', () => {
    for (const { resources } of ordered('Gpu')) expect(resources.MinvCpus).toBe(0);
  });

  it('accept nine kinds of machine with one GPU, and none without', () => {
    const kinds = ['g6e', 'g6', 'g5'].flatMap((family) =>
      ['xlarge', '2xlarge', '4xlarge'].map((size) => `${family}.${size}`),
    );
    for (const { resources } of ordered('Gpu')) expect(resources.InstanceTypes).toEqual(kinds);
  });

  it('start machines from the GPU image, which is named', () => {
    for (const { resources } of ordered('Gpu'))
      expect(resources.Ec2Configuration).toEqual([{ ImageType: 'ECS_AL2023_NVIDIA' }]);
  });

  it('are updated in place, with six hours for jobs on machines that are replaced', () => {
    for (const { properties } of [...ordered('Gpu'), ...ordered('Cpu')])
      expect(properties.ReplaceComputeEnvironment).toBe(false);
    for (const { properties } of ordered('Gpu'))
      expect(properties.UpdatePolicy).toEqual({ JobExecutionTimeoutMinutes: 360 });
    // Of Fargate, which has no machines to replace, Batch refuses it, and with it the whole update.
    for (const { properties } of ordered('Cpu')) expect(properties).not.toHaveProperty('UpdatePolicy');
  });

  it('keep a machine for the next stage, as long as the settings say', () => {
    for (const { resources } of ordered('Gpu'))
      expect(resources.ScalingPolicy).toEqual({ MinScaleDownDelayMinutes: 20 });
  });

  it('end a job that cannot be placed, for every reason that Batch acts on: after hours where machines may come back', () => {
    for (const fleet of ['Gpu', 'Cpu'])
      expect(queue(fleet).JobStateTimeLimitActions).toEqual(
        STUCK.map((Reason) => ({
          Action: 'CANCEL',
          State: 'RUNNABLE',
          MaxTimeSeconds: Reason.startsWith('CAPACITY') ? 6 * 3600 : 3600,
          Reason,
        })),
      );
  });

  it('stand where the network says', () => {
    for (const { resources } of [...ordered('Gpu'), ...ordered('Cpu')]) {
      const subnets = array(resources.Subnets).map(text);
      expect(subnets).toHaveLength(3);
      for (const subnet of subnets) expect(subnet).toContain(environment === 'dev' ? 'publicSubnet' : 'privateSubnet');
      expect(array(resources.SecurityGroupIds).map(text)).toEqual([expect.stringContaining('NetworkMachines')]);
    }
  });

  it('use the newest version of the launch template, which the default version never is', () => {
    const { id } = one(training, 'AWS::EC2::LaunchTemplate');
    for (const { resources } of ordered('Gpu'))
      expect(resources.LaunchTemplate).toEqual({
        LaunchTemplateId: { Ref: id },
        Version: { 'Fn::GetAtt': [id, 'LatestVersionNumber'] },
      });
  });

  it('tag machines and what they are made of', () => {
    for (const { resources } of ordered('Gpu')) expect(resources.Tags).toEqual({ environment, project: 'edge-clip' });
  });
});

describe('a GPU machine', () => {
  const { training } = synthesis('prod').templates;
  const data = record(one(training, 'AWS::EC2::LaunchTemplate').properties.LaunchTemplateData);

  it('answers IMDSv2 only, and containers not at all', () => {
    expect(data.MetadataOptions).toEqual({ HttpTokens: 'required', HttpPutResponseHopLimit: 1 });
  });

  it('has an encrypted disk of 200 GiB that goes with it', () => {
    expect(data.BlockDeviceMappings).toEqual([
      {
        DeviceName: '/dev/xvda',
        Ebs: { Encrypted: true, VolumeType: 'gp3', VolumeSize: 200, DeleteOnTermination: true },
      },
    ]);
  });

  it('drains when spot takes it away, and gives containers 110 s, told in MIME parts that Batch can add to', () => {
    const userData = text(data.UserData);
    const [, boundary] =
      /^Content-Type: multipart\/mixed; boundary="([^"]+)"\nMIME-Version: 1.0\n\n/.exec(userData) ?? [];
    const parts = userData.split(`--${boundary}`);
    expect(parts).toHaveLength(3);
    expect(parts[1]).toBe(
      '\nContent-Type: text/x-shellscript; charset="us-ascii"\n\n' +
        '#!/bin/bash\n' +
        'echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config\n' +
        'echo ECS_CONTAINER_STOP_TIMEOUT=110s >> /etc/ecs/ecs.config\n' +
        '\n',
    );
    expect(parts[2]).toBe('--\n');
  });

  it('joins a cluster by a role of its own, without managed policies', () => {
    const profiles = Object.values(propertiesOf(training, 'AWS::IAM::InstanceProfile'));
    const { id, properties } = one(training, 'AWS::IAM::Role', 'TrainingGpuFleetInstanceRole');
    expect(profiles.map(({ Roles }) => Roles)).toEqual([[{ Ref: id }], [{ Ref: id }]]);
    expect(properties.ManagedPolicyArns).toBeUndefined();
  });
});
