// Names of the stacks' outputs, which the control plane reads from the file that `cdk deploy` leaves, and their parameters: what a
// deployment says that no source holds.
import type { JobClass, Queue } from './job-classes.ts';

export const CLOUD_OUTPUTS = {
  /** Bucket of data, runs and training requests. */
  trainingBucket: 'TrainingBucket',
  /** Bucket of published models. */
  modelsBucket: 'ModelsBucket',
  /** URI of the registry that models are published to: that bucket, or the one in R2. */
  registry: 'Registry',
  /** Bucket of what is embedded in bulk. */
  jobsBucket: 'JobsBucket',
  /** ARNs of the queue of bulk jobs, and of the definition of their shards. */
  bulkQueue: 'BulkQueue',
  bulkDefinition: 'BulkDefinition',
  /** CloudWatch log group of the training containers. */
  trainingLogs: 'TrainingLogs',
  /** JSON object: by stage, the first digits of the digest of its source in the trainer's image. */
  stageCode: 'StageCode',
  stateMachine: 'StateMachine',
  encoderUrl: 'EncoderUrl',
  workerAccess: 'WorkerAccess',
  trainerImages: 'TrainerImages',
  encoderImages: 'EncoderImages',
  /** CodeBuild project that builds both images. */
  imageBuilds: 'ImageBuilds',
  /** SNS topic that the pipeline reports to. */
  reports: 'Reports',
  /** Name of the function that stops what costs money, and starts it again. */
  switch: 'Switch',
} as const;

/** Where the registry is when it is not AWS's, and the ARN of the secret with its keys; only with a registry in R2. */
export const REGISTRY_OUTPUTS = { endpoint: 'RegistryEndpoint', secret: 'RegistrySecret' } as const;

/** ARN of the role that the Worker takes; only where the settings name its issuer. */
export const WORKER_ROLE_OUTPUT = 'WorkerRole';

/** URL of the image encoder with a GPU; only where the settings have one. */
export const ENCODER_GPU_URL_OUTPUT = 'EncoderGpuUrl';

/** ARNs of the queue of bulk jobs on machines with a GPU, and of the definition of their shards; only where the settings have them. */
export const BULK_GPU_OUTPUTS = { queue: 'BulkGpuQueue', definition: 'BulkGpuDefinition' } as const;

/** Who the Worker says it is, and for whom, in the tokens that it signs: that role trusts these words and no others. */
export const WORKER_TOKEN = { subject: 'worker', audience: 'sts.amazonaws.com' } as const;

/** ARN of a job queue: `QueueCpu`. */
export const queueOutput = (queue: Queue): string => `Queue${pascal(queue)}`;

/** ARN of the job definition of a job class: `JobDefinitionTrain`. */
export const jobDefinitionOutput = (jobClass: JobClass): string => `JobDefinition${pascal(jobClass)}`;

/** `train` -> `Train`, `train_8_h100` -> `Train8H100`. */
export const pascal = (name: string): string =>
  name.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

export interface StackParameter {
  /** The stack that takes it, by the last part of its name. */
  stack: 'data' | 'training' | 'encoding' | 'operations';
  description: string;
  /** Regular expression of the whole value. */
  pattern: string;
  /** What a value is, for whoever gave another one. */
  constraint: string;
  /** Where none is given, `ENVIRONMENT` being its name; absent: a first deployment has to give one, later ones keep it. */
  default?: string;
  /** The setting that asks for it, in words; absent: every deployment takes it. */
  only?: string;
}

const DIGEST = {
  pattern: '^[0-9a-f]{64}$',
  constraint: 'The 64 hexadecimal digits of the digest of a pushed image, without "sha256:"',
} as const;

export const STACK_PARAMETERS = {
  TrainerImageDigest: { stack: 'training', description: 'Digest of the image to run, without "sha256:"', ...DIGEST },
  EncoderImageDigest: { stack: 'encoding', description: 'Digest of the image to run, without "sha256:"', ...DIGEST },
  EncoderGpuImageDigest: {
    stack: 'encoding',
    description: 'Digest of the image to run on machines with a GPU, without "sha256:"',
    ...DIGEST,
    only: 'with `encoder.gpu` or `bulk.gpu`',
  },
  RegistryAccountId: {
    stack: 'data',
    description: 'Cloudflare account of the R2 bucket that models are published to',
    pattern: '^[0-9a-f]{32}$',
    constraint: 'The 32 hexadecimal digits of a Cloudflare account id',
    only: 'with `registry` `r2`',
  },
  RegistryBucket: {
    stack: 'data',
    description: 'The R2 bucket that models are published to: the one that wrangler.toml binds to the Worker as MODELS',
    pattern: '^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$',
    constraint: 'Name of an R2 bucket: 3 to 63 lower-case letters, digits and hyphens',
    default: 'edge-clip-ENVIRONMENT-models',
    only: 'with `registry` `r2`',
  },
  EncoderReservation: {
    stack: 'encoding',
    description:
      '"setting": the encoder gets the calls at a time that its setting reserves. "account": none is reserved, only for an account so new that AWS refuses that; its limit of 10 calls is the bound then',
    pattern: '^(setting|account)$',
    constraint: '"setting" or "account"',
    default: 'setting',
  },
  NotifyEmail: {
    stack: 'operations',
    description:
      'Address that alarms, budgets and the outcomes of trainings are sent to; it confirms the subscription once. Empty: nobody is told',
    pattern: '^$|^[^@ ]+@[^@ ]+$',
    constraint: 'An e-mail address, or nothing',
    default: '',
  },
} as const satisfies Record<string, StackParameter>;
export type StackParameterName = keyof typeof STACK_PARAMETERS;
