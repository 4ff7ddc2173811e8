// The stacks of one environment: what must survive apart from what can be made again, and who is handed what.
import { type App, CfnOutput, Stack, Tags } from 'aws-cdk-lib';
import { JOB_CLASS_NAMES, QUEUES } from '../contracts/src/job-classes.ts';
import { CLOUD_OUTPUTS, jobDefinitionOutput, queueOutput } from '../contracts/src/outputs.ts';
import type { Settings } from './environments.ts';
import { Network } from './network/network.ts';
import { Encoding } from './serving/image-encoder.ts';
import { Data } from './storage/storage.ts';
import { Training } from './training/training.ts';

const PROJECT = 'edge-clip';

export interface Stacks {
  network: Stack;
  data: Stack;
  training: Stack;
  encoding: Stack;
}

export function createStacks(app: App, settings: Settings): Stacks {
  const stack = (name: string, description: string, terminationProtection = false) =>
    new Stack(app, `${PROJECT}-${settings.name}-${name}`, {
      description: `${PROJECT} ${settings.name}: ${description}`,
      terminationProtection,
      tags: { project: PROJECT, environment: settings.name },
    });
  const stacks = {
    network: stack('network', 'where training machines stand'),
    data: stack('data', 'buckets, key, images and the record of runs', settings.retain),
    training: stack('training', 'queues, jobs, the pipeline and its schedule'),
    encoding: stack('encoding', 'the image encoder behind its URL'),
  };
  // Tags of a stack reach what supports them; said again here so that the template shows them, where a test can see them.
  Tags.of(app).add('project', PROJECT);
  Tags.of(app).add('environment', settings.name);

  const network = new Network(stacks.network, 'Network', { settings });
  const data = new Data(stacks.data, 'Data', { settings });
  const training = new Training(stacks.training, 'Training', { settings, network, data });
  const encoding = new Encoding(stacks.encoding, 'Encoding', { settings, data });

  output(stacks.data, CLOUD_OUTPUTS.trainingBucket, data.trainingBucket.bucketName);
  output(stacks.data, CLOUD_OUTPUTS.modelsBucket, data.modelsBucket.bucketName);
  output(stacks.data, CLOUD_OUTPUTS.trainerImages, data.trainerImages.repositoryUri);
  output(stacks.data, CLOUD_OUTPUTS.encoderImages, data.encoderImages.repositoryUri);
  for (const queue of QUEUES) output(stacks.training, queueOutput(queue), training.fleets[queue].queue.jobQueueArn);
  for (const name of JOB_CLASS_NAMES)
    output(stacks.training, jobDefinitionOutput(name), training.definitions.byClass[name].jobDefinitionArn);
  output(stacks.training, CLOUD_OUTPUTS.trainingLogs, training.logGroup.logGroupName);
  output(stacks.training, CLOUD_OUTPUTS.stateMachine, training.pipeline.stateMachine.stateMachineArn);
  output(stacks.training, CLOUD_OUTPUTS.reports, training.pipeline.topic.topicArn);
  output(stacks.encoding, CLOUD_OUTPUTS.encoderUrl, encoding.url.url);
  output(stacks.encoding, CLOUD_OUTPUTS.workerAccess, encoding.workerAccess.managedPolicyArn);
  return stacks;
}

/** The command line reads outputs by these names: they may not carry the prefix and hash of their place in the tree. */
function output(stack: Stack, name: string, value: string): void {
  new CfnOutput(stack, `Output${name}`, { value }).overrideLogicalId(name);
}
