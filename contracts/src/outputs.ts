// Names of the stacks' outputs: infra writes them, the control plane reads them from the file that `cdk deploy` leaves.
import type { JobClass, Queue } from './job-classes.ts';

export const CLOUD_OUTPUTS = {
  /** Bucket of data, runs and training requests. */
  trainingBucket: 'TrainingBucket',
  /** Bucket of published models. */
  modelsBucket: 'ModelsBucket',
  /** CloudWatch log group of the training containers. */
  trainingLogs: 'TrainingLogs',
  stateMachine: 'StateMachine',
  encoderUrl: 'EncoderUrl',
  workerAccess: 'WorkerAccess',
  trainerImages: 'TrainerImages',
  encoderImages: 'EncoderImages',
  /** CodeBuild project that builds both images. */
  imageBuilds: 'ImageBuilds',
  /** SNS topic that the pipeline reports to. */
  reports: 'Reports',
} as const;

/** ARN of a job queue: `QueueCpu`. */
export const queueOutput = (queue: Queue): string => `Queue${pascal(queue)}`;

/** ARN of the job definition of a job class: `JobDefinitionTrain`. */
export const jobDefinitionOutput = (jobClass: JobClass): string => `JobDefinition${pascal(jobClass)}`;

/** `train` -> `Train`, `train_8_h100` -> `Train8H100`. */
export const pascal = (name: string): string =>
  name.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
