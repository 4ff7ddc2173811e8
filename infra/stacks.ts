// The stacks of one environment: storage that must survive, apart from what can be made again, and how they are connected.
import { type App, CfnOutput, Stack, Tags } from 'aws-cdk-lib';
import { JOB_CLASS_NAMES, QUEUES } from '../contracts/src/job-classes.ts';
import { CLOUD_OUTPUTS, jobDefinitionOutput, queueOutput } from '../contracts/src/outputs.ts';
import type { Settings } from './base/settings.ts';
import { Network } from './network/network.ts';
import { ImageEncoder } from './serving/image-encoder.ts';
import { Storage } from './storage/storage.ts';
import { Training } from './training/training.ts';

const PROJECT = 'edge-clip';

export interface Stacks {
  network: Stack;
  data: Stack;
  training: Stack;
  encoding: Stack;
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
      tags: { project: PROJECT, environment: settings.name },
      ...options,
    });
  const stacks = {
    network: stack('network', 'where training machines stand'),
    data: stack('data', 'buckets, key, images and the record of runs', { terminationProtection: settings.retain }),
    training: stack('training', 'queues, jobs, the pipeline and its schedule'),
    encoding: stack('encoding', 'the image encoder behind its URL'),
  };
  // A stack's tags reach what supports them. They are set here again so that the template shows them and a test sees them.
  Tags.of(app).add('project', PROJECT);
  Tags.of(app).add('environment', settings.name);

  const network = new Network(stacks.network, 'Network', { settings });
  const storage = new Storage(stacks.data, 'Data', { settings });
  const training = new Training(stacks.training, 'Training', { settings, network, storage });
  const imageEncoder = new ImageEncoder(stacks.encoding, 'Encoding', { settings, storage });

  output(stacks.data, CLOUD_OUTPUTS.trainingBucket, storage.trainingBucket.bucketName);
  output(stacks.data, CLOUD_OUTPUTS.modelsBucket, storage.modelsBucket.bucketName);
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
  output(stacks.training, CLOUD_OUTPUTS.stateMachine, training.pipeline.stateMachine.stateMachineArn);
  output(stacks.training, CLOUD_OUTPUTS.reports, training.pipeline.topic.topicArn);
  output(stacks.encoding, CLOUD_OUTPUTS.encoderUrl, imageEncoder.url.url);
  output(stacks.encoding, CLOUD_OUTPUTS.workerAccess, imageEncoder.workerAccess.managedPolicyArn);
  return stacks;
}

/** The command line reads outputs by these names: they may not carry the prefix and hash of their place in the tree. */
function output(stack: Stack, name: string, value: string): void {
  new CfnOutput(stack, `Output${name}`, { value }).overrideLogicalId(name);
}
