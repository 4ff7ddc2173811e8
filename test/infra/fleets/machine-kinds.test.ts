// Job classes with several GPUs or machines: deployed only where the settings say so, and what they consist of then.
import { describe, expect, it } from 'vitest';
import { JOB_CLASS_NAMES, JOB_CLASSES } from '../../../contracts/src/job-classes.ts';
import { jobDefinitionOutput } from '../../../contracts/src/outputs.ts';
import { environmentNames, settingsOf } from '../../../infra/environments.ts';
import {
  array,
  EVERY_MACHINE,
  one,
  propertiesOf,
  record,
  synthesis,
  synthesise,
  text,
} from '../../support/synthesis.ts';

const { training } = synthesise({ ...settingsOf('prod'), ...EVERY_MACHINE }).templates;

const environments = (fleet: string) =>
  Object.entries(propertiesOf(training, 'AWS::Batch::ComputeEnvironment'))
    .filter(([id]) => id.startsWith(`Training${fleet}Fleet`))
    .map(([, { ComputeResources }]) => record(ComputeResources));
const definition = (name: string) =>
  one(training, 'AWS::Batch::JobDefinition', new RegExp(`^TrainingJobs${name}[0-9A-F]{8}$`)).properties;
const machine = (fleet: string) =>
  record(one(training, 'AWS::EC2::LaunchTemplate', `Training${fleet}Fleet`).properties.LaunchTemplateData);
const needs = (container: unknown) =>
  Object.fromEntries(
    array(record(container).ResourceRequirements)
      .map(record)
      .map(({ Type, Value }) => [Type, Number(Value)]),
  );

describe('as committed', () => {
  it.each(['dev', 'prod'] as const)('%s has machines with one GPU, and classes for them, alone', (environment) => {
    const { Outputs, Resources } = synthesis(environment).templates.training;
    const classes = JOB_CLASS_NAMES.filter((name) => jobDefinitionOutput(name) in Outputs);
    expect(classes).toEqual(['cpu', 'embed', 'train', 'train_l40s']);
    expect(Object.keys(Outputs).filter((name) => name.startsWith('Queue'))).toEqual(['QueueCpu', 'QueueGpu']);
    expect(JSON.stringify(Resources)).not.toMatch(/g6e\.12xlarge|p5\./);
  });
});

describe('switched on', () => {
  it('every job class has a definition that asks for its row', () => {
    for (const name of JOB_CLASS_NAMES) {
      expect(training.Outputs, name).toHaveProperty(jobDefinitionOutput(name));
      const properties = definition(jobDefinitionOutput(name).replace('JobDefinition', ''));
      const { vcpus, memory_mib, gpus, nodes } = JOB_CLASSES[name];
      const ranges = array(record(properties.NodeProperties ?? {}).NodeRangeProperties ?? []).map(record);
      const [container = properties.ContainerProperties] = ranges.map(({ Container }) => Container);
      expect(needs(container)).toEqual({ VCPU: vcpus, MEMORY: memory_mib, ...(gpus > 0 ? { GPU: gpus } : {}) });
      expect(ranges.length > 0).toBe(nodes > 1);
    }
  });

  it('a class counts on no more disk than its machines are given: less than the root volume where it has no own disks', () => {
    for (const name of JOB_CLASS_NAMES) {
      const { queue, disk_gb } = JOB_CLASSES[name];
      if (queue === 'gpu')
        for (const name of environmentNames())
          expect(disk_gb * 1e9).toBeLessThan(settingsOf(name).gpu.root_gib * 2 ** 30);
      if (queue === 'cpu') {
        const { EphemeralStorage } = record(definition('Cpu').ContainerProperties);
        expect(disk_gb * 1e9).toBeLessThan(Number(record(EphemeralStorage).SizeInGiB) * 2 ** 30);
      }
    }
  });

  it('no machine is in a list that alone is more than the limit of its environment', () => {
    expect(
      environments('Gpus').map((resources) => [resources.Type, resources.MaxvCpus, resources.InstanceTypes]),
    ).toEqual([
      ['SPOT', 48, ['g6e.12xlarge']],
      ['EC2', 192, ['g6e.12xlarge', 'g6e.48xlarge']],
    ]);
    expect(environments('H100').map((resources) => [resources.Type, resources.InstanceTypes])).toEqual([
      ['EC2', ['p5.4xlarge', 'p5.48xlarge']],
    ]);
  });

  it('a class whose machines are more than the limit is not deployed', () => {
    const few = synthesise({
      ...settingsOf('dev'),
      several_gpus: { spot_max_vcpus: 48, on_demand_max_vcpus: 48 },
      h100: { on_demand_max_vcpus: 16 },
    }).templates.training.Outputs;
    const classes = JOB_CLASS_NAMES.filter((name) => jobDefinitionOutput(name) in few);
    expect(classes).toEqual(['cpu', 'embed', 'train', 'train_l40s', 'train_4_l40s', 'train_h100']);
  });

  it('machines of one job stand in one zone, close to each other, on demand', () => {
    const [resources = {}, ...more] = environments('Nodes');
    expect(more).toEqual([]);
    expect(resources).toMatchObject({ Type: 'EC2', MaxvCpus: 384, InstanceTypes: ['p5.48xlarge'] });
    expect(array(resources.Subnets)).toHaveLength(1);
    const group = one(training, 'AWS::EC2::PlacementGroup');
    expect(group.properties.Strategy).toBe('cluster');
    expect(text(resources.PlacementGroup)).toContain(group.id);
    const { ComputeEnvironmentOrder } = one(training, 'AWS::Batch::JobQueue', 'TrainingNodesFleetQueue').properties;
    expect(array(ComputeEnvironmentOrder)).toHaveLength(1);
  });

  it('and talk to each other, and to nobody who asks from outside', () => {
    const { id } = one(training, 'AWS::EC2::SecurityGroup', 'TrainingNodesFleetNeighboursOnly');
    const itself = `<${id}.GroupId>`;
    const ingress = Object.values(propertiesOf(training, 'AWS::EC2::SecurityGroupIngress'));
    expect(
      ingress.map(({ GroupId, SourceSecurityGroupId, IpProtocol }) => [
        text(GroupId),
        text(SourceSecurityGroupId),
        IpProtocol,
      ]),
    ).toEqual([[itself, itself, '-1']]);
    const egress = Object.values(propertiesOf(training, 'AWS::EC2::SecurityGroupEgress'));
    expect(
      egress.map(({ DestinationSecurityGroupId, IpProtocol }) => [text(DestinationSecurityGroupId), IpProtocol]),
    ).toEqual([[itself, '-1']]);
    for (const resources of environments('Nodes'))
      expect(array(resources.SecurityGroupIds).map(text)).toEqual([expect.stringContaining('NetworkMachines'), itself]);
    const interfaces = array(machine('Nodes').NetworkInterfaces).map(record);
    expect(interfaces.map(({ NetworkCardIndex }) => NetworkCardIndex)).toEqual(Array.from({ length: 32 }, (_, n) => n));
    expect(interfaces.map(({ DeviceIndex, InterfaceType }) => `${DeviceIndex} ${InterfaceType}`)).toEqual([
      '0 efa',
      ...Array.from({ length: 31 }, () => '1 efa-only'),
    ]);
    for (const { Groups, DeleteOnTermination } of interfaces) {
      expect(array(Groups).map(text)).toContain(itself);
      expect(DeleteOnTermination).toBe(true);
    }
  });

  it('a job on two machines has one container for both, with their EFA devices and memory that is not swapped out', () => {
    const { Type, NodeProperties, RetryStrategy, Timeout, PropagateTags, ResourceRetentionPolicy } =
      definition('Train2x8H100');
    expect(Type).toBe('multinode');
    const { MainNode, NumNodes, NodeRangeProperties } = record(NodeProperties);
    expect([MainNode, NumNodes]).toEqual([0, 2]);
    const [range = {}, ...more] = array(NodeRangeProperties).map(record);
    expect(more).toEqual([]);
    expect(range.TargetNodes).toBe('0:1');
    const container = record(range.Container);
    expect(container).toMatchObject({ InstanceType: 'p5.48xlarge', Command: ['Ref::job'], Privileged: false });
    expect(container.Ulimits).toEqual([{ Name: 'memlock', SoftLimit: -1, HardLimit: -1 }]);
    const devices = array(record(container.LinuxParameters).Devices).map(record);
    expect(devices.map(({ HostPath }) => HostPath)).toEqual(
      Array.from({ length: 32 }, (_, number) => `/dev/infiniband/uverbs${number}`),
    );
    const { RetryStrategy: ofOne } = definition('Train8H100');
    expect(RetryStrategy).toEqual(ofOne);
    expect(Timeout).toEqual({ AttemptDurationSeconds: 48 * 3600 });
    expect(PropagateTags).toBe(true);
    expect(ResourceRetentionPolicy).toEqual({ SkipDeregisterOnUpdate: true });
  });

  it('local disks become one volume, which is where a job keeps its files', () => {
    for (const fleet of ['Gpus', 'H100', 'Nodes']) {
      const userData = text(machine(fleet).UserData);
      expect(userData).toContain('ECS_CONTAINER_STOP_TIMEOUT=110s');
      expect(userData).toContain('mount -o noatime "$volume" /scratch');
    }
    const container = record(definition('Train8L40s').ContainerProperties);
    expect(container.Volumes).toEqual([{ Name: 'scratch', Host: { SourcePath: '/scratch' } }]);
    expect(container.MountPoints).toEqual([
      expect.objectContaining({ ContainerPath: '/scratch', SourceVolume: 'scratch' }),
    ]);
    expect(container.Environment).toContainEqual({ Name: 'WORK_DIR', Value: '/scratch' });
    expect(record(container.LinuxParameters).SharedMemorySize).toBe(8 * 16_384);
    expect(record(definition('Train').ContainerProperties).Volumes ?? []).toEqual([]);
    expect(text(machine('Gpu').UserData)).not.toContain('/scratch');
  });
});
