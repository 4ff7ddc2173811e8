// Starts the AWS emulator for tests, and what a deployment would have made in it: buckets, queues, job definitions.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  BatchClient,
  CreateComputeEnvironmentCommand,
  CreateJobQueueCommand,
  RegisterJobDefinitionCommand,
} from '@aws-sdk/client-batch';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { z } from 'zod';
import { ENVARS } from '../../contracts/src/envars.ts';
import {
  byJobClass,
  JOB_CLASS_NAMES,
  JOB_CLASSES,
  type JobClass,
  QUEUES,
  type Queue,
} from '../../contracts/src/job-classes.ts';
import { shortDigest } from '../../contracts/src/keys.ts';
import { CLOUD_OUTPUTS, jobDefinitionOutput, queueOutput } from '../../contracts/src/outputs.ts';
import { byStage, STAGE_NAMES } from '../../contracts/src/stages.ts';
import { codeDigests, sourceReader } from '../../trainer/control/plan/code-digest.ts';
import { awsEnv } from './aws-account.ts';
import { trainerPython } from './python.ts';

/** A training job that was told to stop, and the attempt after it: what `STOPPED_STAGE` in the emulator's environment asks for. */
const Stopped = z.object({
  event: z.literal('stopped'),
  job: z.string(),
  /** Unix seconds when it was told, and from then on until the next attempt said how far it was. */
  at: z.number(),
  seconds: z.number(),
  /** The last step that it said, and its exit code. */
  after: z.int(),
  exit: z.int(),
  /** The first step that the next attempt said. */
  next: z.int(),
  total: z.int(),
});
export type Stopped = z.infer<typeof Stopped>;

export interface AwsEmulator {
  endpoint: string;
  /** Folder with the `stages` that jobs run. */
  home: string;
  /** What a command needs to reach it and nothing else of AWS. */
  env: Record<string, string>;
  /** Numbers of the children whose machine went away once: those that `RECLAIMED_ONCE` in its environment names. */
  reclaimed: number[];
  stopped: Stopped[];
  stop(): void;
}

/** `home`: folder with the `stages` that jobs run. `env`: what they see besides. */
export async function startAws(home: string, env: Record<string, string> = {}): Promise<AwsEmulator> {
  const python = await trainerPython();
  const script = join(import.meta.dirname, 'aws_emulator.py');
  const child = spawn(python, [script, '--home', home], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const reclaimed: number[] = [];
  const stopped: Stopped[] = [];
  const port = await new Promise<number>((listening, fail) => {
    child.once('exit', (code) => fail(new Error(`the AWS emulator ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('"listening"')) listening(JSON.parse(line).port);
      if (line.includes('"stopped"')) stopped.push(Stopped.parse(JSON.parse(line)));
      if (line.includes('"reclaimed"')) reclaimed.push(Number(JSON.parse(line).index));
    });
  });
  const endpoint = `http://127.0.0.1:${port}`;
  return {
    endpoint,
    home,
    env: awsEnv(endpoint),
    reclaimed,
    stopped,
    stop: () => child.stdin.end(),
  };
}

export interface Deployment {
  outputs: Record<string, string>;
  queues: Record<JobClass, string>;
  jobDefinitions: Record<JobClass, string>;
  trainingBucket: string;
  modelsBucket: string;
}

/** What infra sets on the functions of the pipeline, but for the registry. `trainer`: the folder of the stages' sources. */
export function functionEnvironment(
  { trainingBucket, queues, jobDefinitions }: Deployment,
  trainer: string,
): Record<string, string> {
  return {
    [ENVARS.trainingBucket]: trainingBucket,
    [ENVARS.jobQueues]: JSON.stringify(queues),
    [ENVARS.jobDefinitions]: JSON.stringify(jobDefinitions),
    [ENVARS.codeDigests]: JSON.stringify(codeDigests(STAGE_NAMES, sourceReader(trainer))),
  };
}

/** `outputsFile`: where `cdk deploy --outputs-file` would have written. */
export async function deploy({ endpoint, home }: AwsEmulator, outputsFile?: string): Promise<Deployment> {
  const options = clientOptions(endpoint);
  const s3 = new S3Client({ ...options, forcePathStyle: true });
  const [trainingBucket, modelsBucket] = ['training-a1b2c3', 'models-a1b2c3'];
  for (const Bucket of [trainingBucket, modelsBucket]) await s3.send(new CreateBucketCommand({ Bucket }));
  const batch = new BatchClient(options);
  const queueArns = new Map<Queue, string>();
  for (const name of QUEUES) queueArns.set(name, await makeQueue(batch, name));
  const define = async (jobClass: JobClass): Promise<string> => {
    const { vcpus, memory_mib } = JOB_CLASSES[jobClass];
    const { jobDefinitionArn = '' } = await batch.send(
      new RegisterJobDefinitionCommand({
        jobDefinitionName: `trainer-${jobClass}`,
        type: 'container',
        parameters: { job: '' },
        containerProperties: {
          image: 'trainer',
          command: ['Ref::job'],
          resourceRequirements: [
            { type: 'VCPU', value: String(vcpus) },
            { type: 'MEMORY', value: String(memory_mib) },
          ],
        },
      }),
    );
    return jobDefinitionArn;
  };
  const definitionArns = new Map<JobClass, string>();
  for (const jobClass of JOB_CLASS_NAMES) definitionArns.set(jobClass, await define(jobClass));
  const queues = byJobClass((_, { queue }) => queueArns.get(queue) ?? '');
  const jobDefinitions = byJobClass((jobClass) => definitionArns.get(jobClass) ?? '');
  const code = codeDigests(STAGE_NAMES, sourceReader(home));
  const outputs = {
    [CLOUD_OUTPUTS.trainingBucket]: trainingBucket,
    [CLOUD_OUTPUTS.modelsBucket]: modelsBucket,
    [CLOUD_OUTPUTS.registry]: `s3://${modelsBucket}`,
    ...Object.fromEntries([...queueArns].map(([queue, arn]) => [queueOutput(queue), arn])),
    ...Object.fromEntries(JOB_CLASS_NAMES.map((name) => [jobDefinitionOutput(name), jobDefinitions[name]])),
    // Where Batch writes unless a job definition says otherwise.
    [CLOUD_OUTPUTS.trainingLogs]: '/aws/batch/job',
    [CLOUD_OUTPUTS.stageCode]: JSON.stringify(byStage((stage) => shortDigest(code[stage]))),
  };
  if (outputsFile !== undefined) writeFileSync(outputsFile, JSON.stringify({ 'edge-clip-dev-training': outputs }));
  return { outputs, queues, jobDefinitions, trainingBucket, modelsBucket };
}

async function makeQueue(batch: BatchClient, name: string): Promise<string> {
  const { computeEnvironmentArn } = await batch.send(
    new CreateComputeEnvironmentCommand({
      computeEnvironmentName: `${name}-machines`,
      type: 'UNMANAGED',
      state: 'ENABLED',
      serviceRole: 'arn:aws:iam::123456789012:role/batch',
    }),
  );
  const { jobQueueArn = '' } = await batch.send(
    new CreateJobQueueCommand({
      jobQueueName: `${name}-queue`,
      priority: 1,
      state: 'ENABLED',
      computeEnvironmentOrder: [{ order: 1, computeEnvironment: computeEnvironmentArn }],
    }),
  );
  return jobQueueArn;
}

/** The bucket, the queue and the definition of bulk jobs, as the stacks make them; its containers run what the encoder's image runs. */
export async function deployBulk({ endpoint }: AwsEmulator) {
  const options = clientOptions(endpoint);
  const bucket = 'jobs-a1b2c3';
  await new S3Client({ ...options, forcePathStyle: true }).send(new CreateBucketCommand({ Bucket: bucket }));
  const batch = new BatchClient(options);
  /** Both are the same here, where there is no GPU. */
  const place = async (name: string) => {
    const queue = await makeQueue(batch, name);
    const { jobDefinitionArn: definition = '' } = await batch.send(
      new RegisterJobDefinitionCommand({
        jobDefinitionName: `${name}-shard`,
        type: 'container',
        parameters: { job: '' },
        containerProperties: {
          image: 'encoder',
          command: ['bulk/hosts/shard.mjs', 'Ref::job'],
          environment: [{ name: 'AWS_REGION', value: 'us-east-1' }],
          resourceRequirements: [
            { type: 'VCPU', value: '4' },
            { type: 'MEMORY', value: '8192' },
          ],
        },
      }),
    );
    return { queue, definition };
  };
  return { bucket, ...(await place('bulk')), gpu: await place('bulk-gpu') };
}

const clientOptions = (endpoint: string) => ({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'testing', secretAccessKey: 'testing' },
});
