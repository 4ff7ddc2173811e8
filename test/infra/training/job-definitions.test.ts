// Job definitions: what a job of each class is given, and what comes of it when it ends, however it ends.
import { describe, expect, it } from 'vitest';
import { CAPACITY_HOURS, JobClassName, secondsAtMost } from '../../../contracts/src/job-classes.ts';
import { afterAttempt, type Exit, RetryStrategy } from '../../support/batch-exit.ts';
import { one, propertiesOf, record, statements, synthesis, text } from '../../support/synthesis.ts';

const CLASSES = [
  { name: 'Cpu', on: 'fargate', vcpus: '4', memory: '16384', gpus: [], seconds: 6 * 3600, attempts: 5 },
  { name: 'Embed', on: 'ec2', vcpus: '4', memory: '14336', gpus: ['1'], seconds: 12 * 3600, attempts: 10 },
  { name: 'Train', on: 'ec2', vcpus: '8', memory: '28672', gpus: ['1'], seconds: 48 * 3600, attempts: 10 },
] as const;

/** What AWS Batch says of an attempt that ended, and what has to come of it. */
const EXITS: { what: string; on?: 'ec2' | 'fargate'; exit: Exit; outcome: 'RETRY' | 'FAILED' | 'SUCCEEDED' }[] = [
  { what: 'finished', exit: { exitCode: 0 }, outcome: 'SUCCEEDED' },
  {
    what: 'lost its EC2 machine to spot',
    on: 'ec2',
    exit: { statusReason: 'Host EC2 (instance i-0123456789abcdef0) terminated.' },
    outcome: 'RETRY',
  },
  {
    what: 'was killed while its EC2 machine went away',
    on: 'ec2',
    exit: { exitCode: 137, statusReason: 'Host EC2 (instance i-0123456789abcdef0) terminated.' },
    outcome: 'RETRY',
  },
  {
    what: 'lost its Fargate spot task',
    on: 'fargate',
    exit: { exitCode: 137, statusReason: 'Your Spot Task was interrupted.' },
    outcome: 'RETRY',
  },
  {
    what: 'could not pull its image',
    exit: {
      reason: 'CannotPullContainerError: Error response from daemon: net/http: TLS handshake timeout',
      statusReason: 'Task failed to start',
    },
    outcome: 'RETRY',
  },
  // As ECS lists the errors of stopped tasks: its agent says one sentence of the task and the reason of the container...
  {
    what: 'was not started in time by Docker',
    on: 'ec2',
    exit: {
      reason: 'DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s',
      statusReason: 'Task failed to start',
    },
    outcome: 'RETRY',
  },
  {
    what: 'could not be created on its machine',
    on: 'ec2',
    exit: {
      reason: 'CannotCreateContainerError: context deadline exceeded',
      statusReason: 'Task failed to start',
    },
    outcome: 'RETRY',
  },
  // ... and Fargate the reason alone.
  {
    what: 'could not reach ECR from Fargate',
    on: 'fargate',
    exit: {
      statusReason:
        'ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed',
    },
    outcome: 'RETRY',
  },
  {
    what: 'could not pull its image on Fargate',
    on: 'fargate',
    exit: {
      reason:
        'CannotPullContainerError: pull image manifest has been retried 5 time(s): toomanyrequests: Rate exceeded',
      statusReason: 'CannotPullContainerError: pull image manifest has been retried 5 time(s): toomanyrequests',
    },
    outcome: 'RETRY',
  },
  {
    what: 'saved a checkpoint and asked to be started again',
    exit: { exitCode: 75, statusReason: 'Essential container in task exited' },
    outcome: 'RETRY',
  },
  {
    what: 'failed on a fault of the program',
    exit: { exitCode: 1, statusReason: 'Essential container in task exited' },
    outcome: 'FAILED',
  },
  {
    what: 'was used wrongly',
    exit: { exitCode: 2, statusReason: 'Essential container in task exited' },
    outcome: 'FAILED',
  },
  {
    what: 'ran out of memory',
    exit: {
      exitCode: 137,
      reason: 'OutOfMemoryError: Container killed due to memory usage',
      statusReason: 'Essential container in task exited',
    },
    outcome: 'FAILED',
  },
  {
    what: 'exited with a code that only begins like the one for a checkpoint',
    exit: { exitCode: 7, statusReason: 'Essential container in task exited' },
    outcome: 'FAILED',
  },
  {
    what: 'took too long, although it then saved a checkpoint',
    exit: { exitCode: 75, statusReason: 'Job attempt duration exceeded timeout', terminated: true },
    outcome: 'FAILED',
  },
  {
    what: 'was stopped by the execution',
    exit: { exitCode: 143, statusReason: 'Terminated by AWS Step Functions', terminated: true },
    outcome: 'FAILED',
  },
];

describe.each(CLASSES)('the job definition of class $name', ({ name, on, vcpus, memory, gpus, seconds, attempts }) => {
  const synthesised = synthesis('prod');
  const { training } = synthesised.templates;
  const { properties } = one(training, 'AWS::Batch::JobDefinition', new RegExp(`^TrainingJobs${name}[0-9A-F]{8}$`));
  const container = record(properties.ContainerProperties);

  it('asks for what the contract says', () => {
    const resources = [
      { Type: 'MEMORY', Value: memory },
      { Type: 'VCPU', Value: vcpus },
      ...gpus.map((Value) => ({ Type: 'GPU', Value })),
    ];
    expect(container.ResourceRequirements).toHaveLength(resources.length);
    expect(container.ResourceRequirements).toEqual(expect.arrayContaining(resources));
    expect(properties.Timeout).toEqual({ AttemptDurationSeconds: seconds });
    expect(properties.RetryStrategy).toMatchObject({ Attempts: attempts });
  });

  it('runs one image, named by the digest given at deployment, on its job.json', () => {
    expect(text(container.Image)).toMatch(/\.dkr\.ecr\..*TrainerImages\w+>@sha256:<TrainerImageDigest>$/);
    expect(container.Command).toEqual(['Ref::job']);
  });

  it('has no power over its machine, and an init that passes SIGTERM on', () => {
    expect(container.Privileged ?? false).toBe(false);
    expect(container.ReadonlyRootFilesystem).toBe(false);
    expect(container.LinuxParameters).toMatchObject({ InitProcessEnabled: true });
  });

  it('logs into the one group of training, under its class', () => {
    expect(container.LogConfiguration).toEqual({
      LogDriver: 'awslogs',
      Options: {
        'awslogs-group': { Ref: one(training, 'AWS::Logs::LogGroup', 'TrainingLogs').id },
        'awslogs-region': { Ref: 'AWS::Region' },
        'awslogs-stream-prefix': name.toLowerCase(),
      },
    });
  });

  it('passes tags on, and stays valid for executions that span a deployment', () => {
    expect(properties.PropagateTags).toBe(true);
    expect(properties.ResourceRetentionPolicy).toEqual({ SkipDeregisterOnUpdate: true });
  });

  it.each(EXITS.filter((exit) => (exit.on ?? on) === on))('$outcome for a job that $what', ({ exit, outcome }) => {
    expect(afterAttempt(RetryStrategy.parse(properties.RetryStrategy), 1, exit)).toBe(outcome);
  });

  it('is waited for longer than all of its attempts take, and for days at most', () => {
    const jobClass = JobClassName.parse(name.toLowerCase());
    const attempted = attempts * seconds;
    expect(secondsAtMost(jobClass)).toBeGreaterThan(attempted + CAPACITY_HOURS * 3600);
    expect(secondsAtMost(jobClass)).toBeLessThan(attempted + 3 * 86_400);
  });

  it('gives up when the attempts are used up', () => {
    const strategy = RetryStrategy.parse(properties.RetryStrategy);
    const reclaimed = {
      ec2: { statusReason: 'Host EC2 (instance i-0123456789abcdef0) terminated.' },
      fargate: { statusReason: 'Your Spot Task was interrupted.' },
    }[on];
    expect(afterAttempt(strategy, attempts - 1, reclaimed)).toBe('RETRY');
    expect(afterAttempt(strategy, attempts, reclaimed)).toBe('FAILED');
  });

  it('has a role that reads data and runs, writes runs, and touches nothing else', () => {
    const mine = statements(synthesised).filter(({ holder }) =>
      holder.startsWith(`TrainingJobs${name}RoleDefaultPolicy`),
    );
    const granted = mine.flatMap(({ actions, resources }) =>
      actions.flatMap((action) =>
        resources.map(
          (resource) =>
            `${action} ${resource.replace(/<.*:PublishOutput(?:FnGetAtt|Ref)Data(\w+?)[0-9A-F]{8}\w*>/, '$1')}`,
        ),
      ),
    );
    expect(granted.toSorted()).toEqual([
      'kms:Decrypt Key',
      'kms:GenerateDataKey Key',
      's3:AbortMultipartUpload TrainingBucket/runs/*',
      's3:DeleteObject TrainingBucket/runs/*',
      's3:GetObject TrainingBucket/data/*',
      's3:GetObject TrainingBucket/runs/*',
      's3:ListBucket TrainingBucket',
      's3:PutObject TrainingBucket/runs/*',
    ]);
    expect(mine.find(({ actions }) => actions.includes('s3:ListBucket'))?.condition).toEqual({
      StringLikeIfExists: { 's3:prefix': ['data/*', 'runs/*'] },
    });
  });
});

describe('job definitions', () => {
  const { training } = synthesis('prod').templates;
  const container = (name: string) =>
    record(
      one(training, 'AWS::Batch::JobDefinition', new RegExp(`^TrainingJobs${name}[0-9A-F]{8}$`)).properties
        .ContainerProperties,
    );

  it('give data loaders shared memory that leaves 8 GiB of the container for the rest', () => {
    expect(record(container('Train').LinuxParameters).SharedMemorySize).toBe(16_384);
    expect(record(container('Embed').LinuxParameters).SharedMemorySize).toBe(6_144);
    expect(record(container('Cpu').LinuxParameters).SharedMemorySize).toBeUndefined();
  });

  it('run class cpu on Fargate, on x86, with 100 GiB of disk and an address only without a gateway', () => {
    const { properties } = one(training, 'AWS::Batch::JobDefinition', 'TrainingJobsCpu');
    expect(properties.PlatformCapabilities).toEqual(['FARGATE']);
    expect(container('Cpu')).toMatchObject({
      EphemeralStorage: { SizeInGiB: 100 },
      RuntimePlatform: { CpuArchitecture: 'X86_64', OperatingSystemFamily: 'LINUX' },
      NetworkConfiguration: { AssignPublicIp: 'DISABLED' },
    });
    const dev = one(synthesis('dev').templates.training, 'AWS::Batch::JobDefinition', 'TrainingJobsCpu').properties;
    expect(dev.ContainerProperties).toMatchObject({ NetworkConfiguration: { AssignPublicIp: 'ENABLED' } });
  });

  it('take the digest of the image as a parameter of 64 hexadecimal digits, without a default', () => {
    expect(training.Parameters.TrainerImageDigest).toMatchObject({ Type: 'String', AllowedPattern: '^[0-9a-f]{64}$' });
    expect(training.Parameters.TrainerImageDigest).not.toHaveProperty('Default');
  });

  it('share an execution role without managed policies', () => {
    const roles = Object.entries(propertiesOf(training, 'AWS::IAM::Role'));
    expect(roles.filter(([, { ManagedPolicyArns }]) => ManagedPolicyArns !== undefined)).toEqual([]);
    const { id } = one(training, 'AWS::IAM::Role', 'TrainingJobsExecutionRole');
    for (const { name } of CLASSES) expect(text(container(name).ExecutionRoleArn)).toBe(`<${id}.Arn>`);
  });
});
