// Names of the stacks' outputs: infra writes them, the control plane reads them from the file that `cdk deploy` leaves.

export const CLOUD_OUTPUTS = {
  /** Bucket of data, runs and training requests. */
  trainingBucket: 'TrainingBucket',
  /** Bucket of published models. */
  modelsBucket: 'ModelsBucket',
  /** Job queues and job definitions by stage class. */
  queueCpu: 'QueueCpu',
  queueGpu: 'QueueGpu',
  jobDefinitionCpu: 'JobDefinitionCpu',
  jobDefinitionEmbed: 'JobDefinitionEmbed',
  jobDefinitionTrain: 'JobDefinitionTrain',
  /** CloudWatch log group of the training containers. */
  trainingLogs: 'TrainingLogs',
  stateMachine: 'StateMachine',
  encoderUrl: 'EncoderUrl',
} as const;
export type CloudOutput = keyof typeof CLOUD_OUTPUTS;
