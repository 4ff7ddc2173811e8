// Bulk jobs: where shards run, what they and the Worker may do, and what becomes of a shard that failed.
import { describe, expect, it } from 'vitest';
import { CANCELLED } from '../../../contracts/src/bulk/job.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { settingsOf } from '../../../infra/environments.ts';
import { afterAttempt, type Exit, RetryStrategy } from '../../support/batch-exit.ts';
import { matches } from '../../support/event-pattern.ts';
import {
  array,
  one,
  propertiesOf,
  record,
  type Statement,
  statements,
  synthesis,
  synthesise,
  text,
} from '../../support/synthesis.ts';

const synthesised = synthesis('prod');
const { encoding, data } = synthesised.templates;
const BUCKET = /^<edge-clip-prod-data:PublishOutput\w*DataJobsBucket\w+>/;

const heldBy = (holder: string): Statement[] => statements(synthesised).filter((one) => one.holder.startsWith(holder));
/** Actions of a statement list by what they are granted on below the bucket. */
const below = (granted: Statement[], prefix: string): string[] =>
  granted
    .filter(({ resources }) => resources.some((name) => BUCKET.test(name) && name.endsWith(`/${prefix}/*`)))
    .flatMap(({ actions }) => actions)
    .toSorted();

describe('the queue of bulk jobs', () => {
  it('asks spot first, then on demand, as many as the settings say, and keeps no machine', () => {
    const { properties } = one(encoding, 'AWS::Batch::JobQueue');
    const order = array(properties.ComputeEnvironmentOrder).map(record);
    const environments = order
      .toSorted((a, b) => Number(a.Order) - Number(b.Order))
      .map(({ ComputeEnvironment }) => {
        const [, id = ''] = /<(\w+)\.ComputeEnvironmentArn>/.exec(text(ComputeEnvironment)) ?? [];
        const { Type, MaxvCpus } = record(
          propertiesOf(encoding, 'AWS::Batch::ComputeEnvironment')[id]?.ComputeResources,
        );
        return [Type, MaxvCpus];
      });
    const { spot_max_vcpus, on_demand_max_vcpus } = synthesised.settings.bulk.cpu;
    expect(environments).toEqual([
      ['FARGATE_SPOT', spot_max_vcpus],
      ['FARGATE', on_demand_max_vcpus],
    ]);
  });

  it("runs the encoder's image of the same digest as the function, on the processor that it is built for", () => {
    const { ContainerProperties } = one(encoding, 'AWS::Batch::JobDefinition').properties;
    const { Image, Command, RuntimePlatform } = record(ContainerProperties);
    expect(text(Image)).toBe(text(record(one(encoding, 'AWS::Lambda::Function').properties.Code).ImageUri));
    expect(RuntimePlatform).toMatchObject({ CpuArchitecture: 'ARM64' });
    expect(array(Command)[0]).toMatch(/^(bulk|encoder)\/hosts\/\w+\.mjs$/);
  });
});

describe('a shard', () => {
  it('has the cores that a plan counts, and memory for a process on each', () => {
    const { ContainerProperties } = one(encoding, 'AWS::Batch::JobDefinition').properties;
    const needs = array(record(ContainerProperties).ResourceRequirements).map(record);
    const { VCPU, MEMORY } = Object.fromEntries(needs.map(({ Type, Value }) => [Type, Number(Value)]));
    expect([VCPU, (MEMORY ?? 0) / (VCPU ?? 0)]).toEqual([4, 2048]);
  });

  const granted = heldBy('BulkShardRoleDefaultPolicy');

  it('reads what was sent and the job, and writes into jobs only', () => {
    for (const prefix of ['uploads', 'job-inputs']) expect(below(granted, prefix)).toEqual(['s3:GetObject']);
    expect(below(granted, 'jobs')).toEqual(['s3:AbortMultipartUpload', 's3:GetObject', 's3:PutObject']);
  });

  it('may submit and end nothing', () => {
    expect(granted.flatMap(({ actions }) => actions).filter((action) => action.startsWith('batch:'))).toEqual([]);
  });
});

describe('an attempt at a shard', () => {
  const strategy = RetryStrategy.parse(one(encoding, 'AWS::Batch::JobDefinition').properties.RetryStrategy);
  const ENDS: { what: string; exit: Exit; outcome: 'RETRY' | 'FAILED' }[] = [
    {
      what: 'was told to stop',
      exit: { exitCode: EXIT.interrupted, reason: 'Essential container exited' },
      outcome: 'RETRY',
    },
    {
      what: 'lost its machine',
      exit: { exitCode: 143, statusReason: 'Your Spot Task was interrupted.' },
      outcome: 'RETRY',
    },
    { what: 'is of a job that was cancelled', exit: { exitCode: EXIT.refused }, outcome: 'FAILED' },
    { what: 'cannot be helped', exit: { exitCode: EXIT.usage }, outcome: 'FAILED' },
    { what: 'threw an error', exit: { exitCode: EXIT.failed }, outcome: 'FAILED' },
    { what: 'ran out of memory', exit: { exitCode: 137, reason: 'OutOfMemoryError' }, outcome: 'FAILED' },
    { what: 'was ended by whoever cancelled the job', exit: { exitCode: 75, terminated: true }, outcome: 'FAILED' },
  ];
  it.each(ENDS)('that $what: $outcome', ({ exit, outcome }) => {
    expect(afterAttempt(strategy, 1, { reason: '', ...exit })).toBe(outcome);
  });

  it('is the last one when the attempts are used up', () => {
    expect(afterAttempt(strategy, strategy.Attempts, { exitCode: EXIT.interrupted })).toBe('FAILED');
  });
});

describe('the Worker', () => {
  const granted = heldBy(one(encoding, 'AWS::IAM::ManagedPolicy').id);

  it('may use these prefixes, submit this definition to this queue, and call the encoder: nothing else', () => {
    const services = new Map<string, string[]>();
    for (const action of granted.flatMap(({ actions }) => actions)) {
      const [service = '', name = ''] = action.split(':');
      services.set(service, [...new Set([...(services.get(service) ?? []), name])].toSorted());
    }
    expect(Object.fromEntries(services)).toEqual({
      lambda: ['InvokeFunction', 'InvokeFunctionUrl'],
      batch: ['DescribeJobs', 'ListJobs', 'SubmitJob', 'TagResource', 'TerminateJob'],
      s3: ['AbortMultipartUpload', 'DeleteObject', 'GetObject', 'ListBucket', 'PutObject'],
      kms: ['Decrypt', 'GenerateDataKey'],
    });
    const objects = ['s3:AbortMultipartUpload', 's3:DeleteObject', 's3:GetObject', 's3:PutObject'];
    for (const prefix of ['uploads', 'jobs', 'job-inputs']) expect(below(granted, prefix)).toEqual(objects);
    const submit = granted.find(({ actions }) => actions.includes('batch:SubmitJob'));
    const queue = one(encoding, 'AWS::Batch::JobQueue').id;
    const definition = one(encoding, 'AWS::Batch::JobDefinition').id;
    expect(submit?.resources[0]).toBe(`<${queue}.JobQueueArn>`);
    expect(submit?.resources).toHaveLength(3);
    for (const resource of submit?.resources.slice(1) ?? []) expect(resource).toContain(definition);
  });
});

describe('what was sent and what came of it', () => {
  it('goes after the days of the settings, and so does what was overwritten', () => {
    const { LifecycleConfiguration } = one(data, 'AWS::S3::Bucket', 'DataJobsBucket').properties;
    const rules = array(record(LifecycleConfiguration).Rules).map(record);
    const { upload_days, output_days } = synthesised.settings.bulk;
    for (const [Prefix, ExpirationInDays] of [
      ['uploads/', upload_days],
      ['jobs/', output_days],
      ['job-inputs/', output_days],
    ])
      expect(rules).toContainEqual({
        Status: 'Enabled',
        Prefix,
        ExpirationInDays,
        NoncurrentVersionExpiration: { NoncurrentDays: 1 },
      });
  });
});

describe('a shard that failed for good', () => {
  it('is a message in a queue, put there by this rule and by nobody else', () => {
    const rule = one(encoding, 'AWS::Events::Rule');
    const { source, 'detail-type': type, detail } = record(rule.properties.EventPattern);
    expect([source, type, record(detail).status]).toEqual([['aws.batch'], ['Batch Job State Change'], ['FAILED']]);
    expect(array(record(detail).jobQueue).map(text)).toEqual([
      `<${one(encoding, 'AWS::Batch::JobQueue').id}.JobQueueArn>`,
    ]);
    const queue = one(encoding, 'AWS::SQS::Queue', 'BulkFailedShards').id;
    expect(array(rule.properties.Targets).map((target) => text(record(target).Arn))).toEqual([`<${queue}.Arn>`]);
    const sends = statements(synthesised).filter(
      ({ stack, effect, actions }) => stack === 'encoding' && effect === 'Allow' && actions.includes('sqs:SendMessage'),
    );
    expect(sends.map(({ condition }) => text(record(condition?.ArnEquals)['aws:SourceArn']))).toEqual([
      `<${rule.id}.Arn>`,
    ]);
  });
});

describe('an event of Batch', () => {
  const rule = one(encoding, 'AWS::Events::Rule');
  const pattern = { ...record(record(rule.properties.EventPattern).detail), jobQueue: ['queue'] };
  const job = { jobQueue: 'queue', status: 'FAILED' };
  const child = { ...job, arrayProperties: { index: 3, size: 12 } };
  const ended = (exitCode: number) => ({ statusReason: 'Essential container in task exited', container: { exitCode } });

  it.each([
    ['a child that failed', { ...child, ...ended(1) }],
    ['a child that ran out of memory', { ...child, ...ended(137) }],
    ['a child whose container never started', { ...child, statusReason: 'CannotPullContainerError', container: {} }],
    ['a child of which Batch does not say why', child],
    ['a job that is no array', { ...job, ...ended(1) }],
  ])('of %s is a message', (_, detail) => {
    expect(matches(pattern, detail)).toBe(true);
  });

  it.each([
    ['a child of a job that was cancelled', { ...child, statusReason: CANCELLED, container: {} }],
    ['a child that ran when its job was cancelled', { ...child, statusReason: CANCELLED, container: { exitCode: 75 } }],
    ['a child that saw that its job was cancelled, or expired', { ...child, ...ended(EXIT.refused) }],
    ['a job that is no array and was cancelled', { ...job, statusReason: CANCELLED, container: { exitCode: 75 } }],
    ['the array job itself', { ...job, arrayProperties: { size: 12, statusSummary: { FAILED: 1 } } }],
    ['a child that is done', { ...child, status: 'SUCCEEDED', container: { exitCode: 0 } }],
  ])('of %s is none', (_, detail) => {
    expect(matches(pattern, detail)).toBe(false);
  });
});

describe('an identity of the Worker', () => {
  it('is made only where the settings name the host that vouches for it', () => {
    expect(propertiesOf(encoding, 'AWS::IAM::OIDCProvider')).toEqual({});
    expect(encoding.Outputs).not.toHaveProperty('WorkerRole');
  });

  it('is trusted for tokens of that host, for STS and of the Worker, and may do what its policy says', () => {
    const issuer = 'clip.example.com';
    const { templates } = synthesise({ ...settingsOf('prod'), worker_issuer: issuer });
    const provider = one(templates.encoding, 'AWS::IAM::OIDCProvider');
    expect(provider.properties).toMatchObject({ Url: `https://${issuer}`, ClientIdList: ['sts.amazonaws.com'] });
    const role = one(templates.encoding, 'AWS::IAM::Role', 'WorkerRole');
    expect(record(role.properties.AssumeRolePolicyDocument).Statement).toEqual([
      {
        Effect: 'Allow',
        Action: 'sts:AssumeRoleWithWebIdentity',
        Principal: { Federated: { 'Fn::GetAtt': [provider.id, 'Arn'] } },
        Condition: { StringEquals: { [`${issuer}:aud`]: 'sts.amazonaws.com', [`${issuer}:sub`]: 'worker' } },
      },
    ]);
    expect(array(role.properties.ManagedPolicyArns).map(text)).toEqual([
      `<${one(templates.encoding, 'AWS::IAM::ManagedPolicy').id}>`,
    ]);
    expect(text(templates.encoding.Outputs.WorkerRole?.Value)).toBe(`<${role.id}.Arn>`);
  });
});
