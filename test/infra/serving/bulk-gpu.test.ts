// Bulk jobs on machines with a GPU: not there unless the settings ask for them, and then on which machines, by what image, for whom.
import { describe, expect, it } from 'vitest';
import { settingsOf } from '../../../infra/environments.ts';
import { afterAttempt, type Exit, RetryStrategy } from '../../support/batch-exit.ts';
import {
  array,
  GPU_SHARDS,
  one,
  propertiesOf,
  record,
  statements,
  synthesis,
  synthesise,
  text,
} from '../../support/synthesis.ts';

const prod = settingsOf('prod');
const synthesised = synthesise({ ...prod, bulk: { ...prod.bulk, gpu: GPU_SHARDS } });
const { encoding, operations, data } = synthesised.templates;
const QUEUE = one(encoding, 'AWS::Batch::JobQueue', 'BulkGpuFleet');
const DEFINITION = one(encoding, 'AWS::Batch::JobDefinition', 'BulkGpuShard');
const container = record(DEFINITION.properties.ContainerProperties);
const onProcessors = one(encoding, 'AWS::Batch::JobDefinition', 'BulkShard').properties;

it('are not there unless the settings ask for them', () => {
  for (const environment of ['dev', 'prod'] as const) {
    const template = synthesis(environment).templates.encoding;
    expect(Object.keys(propertiesOf(template, 'AWS::Batch::JobQueue'))).toHaveLength(1);
    expect(Object.keys(propertiesOf(template, 'AWS::EC2::LaunchTemplate'))).toEqual([]);
    for (const name of ['BulkGpuQueue', 'BulkGpuDefinition']) expect(template.Outputs).not.toHaveProperty(name);
    expect(template.Parameters).not.toHaveProperty('EncoderGpuImageDigest');
  }
});

describe('the machines', () => {
  const environments = array(QUEUE.properties.ComputeEnvironmentOrder)
    .map(record)
    .toSorted((a, b) => Number(a.Order) - Number(b.Order))
    .map(({ ComputeEnvironment }) => {
      const [, id = ''] = /<(\w+)\.ComputeEnvironmentArn>/.exec(text(ComputeEnvironment)) ?? [];
      return record(propertiesOf(encoding, 'AWS::Batch::ComputeEnvironment')[id]?.ComputeResources);
    });

  it('are asked for on spot first, then on demand, as many as the settings say, and none is kept', () => {
    expect(environments.map(({ Type, MinvCpus, MaxvCpus }) => [Type, MinvCpus, MaxvCpus])).toEqual([
      ['SPOT', 0, 16],
      ['EC2', 0, 8],
    ]);
    // What is kept for the next stage of a training would only be paid for here.
    for (const resources of environments) expect(resources).not.toHaveProperty('ScalingPolicy');
  });

  it('have one GPU and the processors of one shard each', () => {
    for (const { InstanceTypes, Ec2Configuration } of environments) {
      expect(InstanceTypes).toEqual(['g6e.xlarge', 'g6.xlarge', 'g5.xlarge']);
      expect(Ec2Configuration).toEqual([{ ImageType: 'ECS_AL2023_NVIDIA' }]);
    }
  });
});

describe('a shard', () => {
  it('fills a machine: a GPU, all processors, and memory that leaves it some', () => {
    const needs = array(container.ResourceRequirements).map(record);
    expect(Object.fromEntries(needs.map(({ Type, Value }) => [Type, Value]))).toEqual({
      GPU: '1',
      VCPU: '4',
      MEMORY: '14336',
    });
  });

  it('runs the image that has CUDA, by its digest, and is told to use it', () => {
    expect(text(container.Image)).toMatch(/EncoderImages\w+.*@sha256:<EncoderGpuImageDigest>$/);
    expect(container.Environment).toContainEqual({ Name: 'ENCODER_PROVIDER', Value: 'cuda' });
  });

  it('is otherwise that of processors: program, model, log, roles, time limit and attempts', () => {
    const other = record(onProcessors.ContainerProperties);
    for (const key of ['Command', 'LogConfiguration', 'JobRoleArn', 'ExecutionRoleArn'])
      expect(container[key], key).toEqual(other[key]);
    for (const variable of array(other.Environment)) expect(container.Environment).toContainEqual(variable);
    for (const key of ['Timeout', 'PropagateTags', 'ResourceRetentionPolicy'])
      expect(DEFINITION.properties[key], key).toEqual(onProcessors[key]);
    const strategy = RetryStrategy.parse(DEFINITION.properties.RetryStrategy);
    expect(strategy.Attempts).toBe(RetryStrategy.parse(onProcessors.RetryStrategy).Attempts);
    const outcome = (exit: Exit) => afterAttempt(strategy, 1, exit);
    expect(outcome({ statusReason: 'Host EC2 (instance i-0123456789abcdef0) terminated.' })).toBe('RETRY');
    expect(outcome({ statusReason: 'Task failed to start', reason: 'DockerTimeoutError: timed out' })).toBe('RETRY');
    const ended = { statusReason: 'Essential container in task exited' };
    expect(outcome({ ...ended, exitCode: 75 })).toBe('RETRY');
    for (const exitCode of [1, 2, 65, 137]) expect(outcome({ ...ended, exitCode })).toBe('FAILED');
  });
});

describe('whoever looks after them', () => {
  it('is the Worker, which may submit this definition, too, and is told both names by the outputs', () => {
    const policy = one(encoding, 'AWS::IAM::ManagedPolicy').id;
    const submit = statements(synthesised).find(
      ({ holder, actions }) => holder.startsWith(policy) && actions.includes('batch:SubmitJob'),
    );
    expect(submit?.resources).toHaveLength(6);
    expect(submit?.resources).toContain(`<${QUEUE.id}.JobQueueArn>`);
    expect(submit?.resources.filter((name) => name.includes(DEFINITION.id))).toHaveLength(2);
    expect(text(encoding.Outputs.BulkGpuQueue?.Value)).toBe(`<${QUEUE.id}.JobQueueArn>`);
    expect(text(encoding.Outputs.BulkGpuDefinition?.Value)).toContain(DEFINITION.id);
  });

  it('is told of shards that failed and of a queue that is blocked, and the switch stops this queue as all others', () => {
    const failed = one(encoding, 'AWS::Events::Rule').properties.EventPattern;
    const queues = array(record(record(failed).detail).jobQueue).map(text);
    expect(queues).toHaveLength(2);
    expect(queues).toContain(`<${QUEUE.id}.JobQueueArn>`);
    const exported = Object.entries(encoding.Outputs).find(
      ([name, { Value }]) => name !== 'BulkGpuQueue' && text(Value) === `<${QUEUE.id}.JobQueueArn>`,
    )?.[0];
    const blocked = one(operations, 'AWS::Events::Rule').properties.EventPattern;
    expect(JSON.stringify(blocked)).toContain(String(exported));
    const stopping = statements(synthesised).find(({ actions }) => actions.includes('batch:UpdateJobQueue'));
    expect(JSON.stringify(stopping?.resources)).toContain(String(exported));
  });
});

it('keep as many images of each kind in the repository as the settings say', () => {
  const rules = JSON.parse(
    String(
      record(one(data, 'AWS::ECR::Repository', 'DataEncoderImages').properties.LifecyclePolicy).LifecyclePolicyText,
    ),
  );
  expect(rules.rules[0].selection.countNumber).toBe(2 * prod.images_kept);
});
