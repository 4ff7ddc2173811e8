// The stacks of one environment: storage that must survive, apart from what can be made again, and how they are connected.
import { type App, CfnOutput, Stack, Tags } from 'aws-cdk-lib';
import { ENVARS } from '../contracts/src/envars.ts';
import { JOB_CLASS_NAMES, QUEUES } from '../contracts/src/job-classes.ts';
import { shortDigest } from '../contracts/src/keys.ts';
import {
  BULK_GPU_OUTPUTS,
  CLOUD_OUTPUTS,
  ENCODER_GPU_URL_OUTPUT,
  jobDefinitionOutput,
  queueOutput,
  REGISTRY_OUTPUTS,
  WORKER_ROLE_OUTPUT,
} from '../contracts/src/outputs.ts';
import type { Settings } from './base/settings.ts';
import { PROJECT, tagsOf } from './base/tags.ts';
import { Network } from './network/network.ts';
import { Operations } from './operations/operations.ts';
import { BulkJobs } from './serving/bulk-jobs.ts';
import { GpuEncoder } from './serving/gpu-encoder.ts';
import { ImageEncoder } from './serving/image-encoder.ts';
import { WorkerIdentity } from './serving/worker-identity.ts';
import { Storage } from './storage/storage.ts';
import { Training } from './training/training.ts';

export interface Stacks {
  network: Stack;
  data: Stack;
  training: Stack;
  encoding: Stack;
  operations: Stack;
}

/**
 * Names of stacks and ids of constructs are part of every logical id: renaming one replaces what it holds. `data` and
 * `encoding` therefore keep their names, although the constructs in them are called Storage and ImageEncoder.
 */
export function createStacks(app: App, settings: Settings): Stacks {
  const stack = (name: string, description: string, options: { terminationProtection?: boolean } = {}) =>
    new Stack(app, `${PROJECT}-${settings.name}-${name}`, {
      description: `${PROJECT} ${settings.name}: ${description}`,
      terminationProtection: false,
      tags: tagsOf(settings.name),
      ...options,
    });
  const stacks = {
    network: stack('network', 'where training machines stand'),
    data: stack('data', 'buckets, key, images and the record of runs', { terminationProtection: settings.retain }),
    training: stack('training', 'queues, jobs, the pipeline and its schedule'),
    encoding: stack('encoding', 'the image encoder behind its URL, and its bulk jobs'),
    operations: stack('operations', 'alarms, dashboard, budget and the switch of spending'),
  };
  // A stack's tags reach what supports them. They are set here again so that the template shows them and a test sees them.
  for (const [key, value] of Object.entries(tagsOf(settings.name))) Tags.of(app).add(key, value);

  const network = new Network(stacks.network, 'Network', { settings });
  const storage = new Storage(stacks.data, 'Data', { settings });
  const training = new Training(stacks.training, 'Training', { settings, network, storage });
  const imageEncoder = new ImageEncoder(stacks.encoding, 'Encoding', { settings, storage });
  const bulkJobs = new BulkJobs(stacks.encoding, 'Bulk', { settings, network, storage });
  const { gpu } = settings.encoder;
  const { workerAccess } = imageEncoder;
  const gpuEncoder =
    gpu === null
      ? undefined
      : new GpuEncoder(stacks.encoding, 'EncodingGpu', { settings, gpu, network, storage, workerAccess });
  if (gpuEncoder !== undefined) output(stacks.encoding, ENCODER_GPU_URL_OUTPUT, gpuEncoder.url.url);
  bulkJobs.grantSubmit(workerAccess);
  storage.grantWorker(workerAccess);
  const { worker_issuer: issuer } = settings;
  if (issuer !== null) {
    const identity = new WorkerIdentity(stacks.encoding, 'Worker', { issuer, access: workerAccess });
    output(stacks.encoding, WORKER_ROLE_OUTPUT, identity.role.roleArn);
  }
  const operations = new Operations(stacks.operations, 'Operations', {
    settings,
    storage,
    training,
    imageEncoder,
    gpuEncoder,
    bulkJobs,
  });

  output(stacks.data, CLOUD_OUTPUTS.trainingBucket, storage.trainingBucket.bucketName);
  output(stacks.data, CLOUD_OUTPUTS.modelsBucket, storage.modelsBucket.bucketName);
  const registry = storage.registry.environment;
  const registryOutputs = [
    [CLOUD_OUTPUTS.registry, registry[ENVARS.registry]],
    [REGISTRY_OUTPUTS.endpoint, registry[ENVARS.registryEndpoint]],
    [REGISTRY_OUTPUTS.secret, registry[ENVARS.registrySecret]],
  ] as const;
  for (const [name, value] of registryOutputs) if (value !== undefined) output(stacks.data, name, value);
  output(stacks.data, CLOUD_OUTPUTS.jobsBucket, storage.jobsBucket.bucketName);
  output(stacks.data, CLOUD_OUTPUTS.trainerImages, storage.trainerImages.repositoryUri);
  output(stacks.data, CLOUD_OUTPUTS.encoderImages, storage.encoderImages.repositoryUri);
  output(stacks.data, CLOUD_OUTPUTS.imageBuilds, storage.imageBuilds.projectName);
  for (const queue of QUEUES) {
    const fleet = training.fleets[queue];
    if (fleet !== undefined) output(stacks.training, queueOutput(queue), fleet.queue.jobQueueArn);
  }
  for (const name of JOB_CLASS_NAMES) {
    const definition = training.definitions.byClass[name];
    if (definition !== undefined) output(stacks.training, jobDefinitionOutput(name), definition.jobDefinitionArn);
  }
  output(stacks.training, CLOUD_OUTPUTS.trainingLogs, training.logGroup.logGroupName);
  const code = Object.entries(training.code).map(([stage, digest]) => [stage, shortDigest(digest)]);
  output(stacks.training, CLOUD_OUTPUTS.stageCode, JSON.stringify(Object.fromEntries(code)));
  output(stacks.training, CLOUD_OUTPUTS.stateMachine, training.pipeline.stateMachine.stateMachineArn);
  output(stacks.training, CLOUD_OUTPUTS.reports, training.pipeline.topic.topicArn);
  output(stacks.encoding, CLOUD_OUTPUTS.encoderUrl, imageEncoder.url.url);
  output(stacks.encoding, CLOUD_OUTPUTS.bulkQueue, bulkJobs.cpu.queue.jobQueueArn);
  output(stacks.encoding, CLOUD_OUTPUTS.bulkDefinition, bulkJobs.cpu.definition.jobDefinitionArn);
  if (bulkJobs.gpu !== undefined) {
    output(stacks.encoding, BULK_GPU_OUTPUTS.queue, bulkJobs.gpu.queue.jobQueueArn);
    output(stacks.encoding, BULK_GPU_OUTPUTS.definition, bulkJobs.gpu.definition.jobDefinitionArn);
  }
  output(stacks.encoding, CLOUD_OUTPUTS.workerAccess, workerAccess.managedPolicyArn);
  output(stacks.operations, CLOUD_OUTPUTS.switch, operations.switch.function.functionName);
  return stacks;
}

/** The command line reads outputs by these names: they may not carry the prefix and hash of their place in the tree. */
function output(stack: Stack, name: string, value: string): void {
  new CfnOutput(stack, `Output${name}`, { value }).overrideLogicalId(name);
}
