// Bulk jobs of the image encoder on AWS Batch: queues that cost nothing while they are empty, definitions of an array job, and what failed.
import { Duration, Size, Stack } from 'aws-cdk-lib';
import * as batch from 'aws-cdk-lib/aws-batch';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { CANCELLED } from '../../contracts/src/bulk/job.ts';
import { SHARD } from '../../contracts/src/cloud/bulk-estimate.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { acknowledge } from '../base/acknowledge.ts';
import { grantActions } from '../base/grants.ts';
import { imageDigest } from '../base/parameter.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';
import { CpuFleet } from '../fleets/cpu-fleet.ts';
import { FARGATE_RETRIES, MACHINE_RETRIES } from '../fleets/retries.ts';
import { grantSubmit } from '../fleets/submit.ts';
import type { Network } from '../network/network.ts';
import type { Storage } from '../storage/storage.ts';
import { gpuShards } from './bulk-gpu.ts';
import { modelEnvironment } from './image-encoder.ts';

/** An attempt at a child's shards ends after this time, and the next one goes on where it was. */
const ATTEMPT_HOURS = 6;
const ATTEMPTS = 5;

/** Also where a field is absent, which `anything-but` alone does not match. */
const absentOrOther = (value: string | number) => [{ exists: false }, { 'anything-but': [value] }];

/**
 * What of Batch's events of failed jobs is a fault. None is: a child that was ended because its job was cancelled, or that saw that its job
 * was cancelled or has expired; and the array job itself, which ends with its children and has an event for each of them already.
 */
const FAULTS = {
  statusReason: absentOrOther(CANCELLED),
  container: { exitCode: absentOrOther(EXIT.refused) },
  $or: [{ arrayProperties: { index: [{ exists: true }] } }, { arrayProperties: { size: [{ exists: false }] } }],
};

export interface BulkJobsProps {
  /** Read here: machines, the model that is followed, and how long logs are kept. */
  settings: Settings;
  /** Where containers run. */
  network: Network;
  /** Holds the encoder's images, what jobs read and write, and the model registry. */
  storage: Storage;
}

/** Where jobs for one kind of machine go. */
export interface BulkPlace {
  queue: batch.JobQueue;
  definition: batch.EcsJobDefinition;
}

export class BulkJobs extends Construct {
  readonly cpu: BulkPlace;
  /** Undefined: the settings have none. */
  readonly gpu: BulkPlace | undefined;
  /** A message for each child whose shards failed in all of its attempts: the event of Batch. */
  readonly failedShards: sqs.Queue;

  constructor(scope: Construct, id: string, { settings, network, storage }: BulkJobsProps) {
    super(scope, id);
    const container = this.container({ settings, network, storage });
    const definition = (name: string, rendered: batch.IEcsContainerDefinition) =>
      new batch.EcsJobDefinition(this, name, {
        container: rendered,
        timeout: Duration.hours(ATTEMPT_HOURS),
        retryAttempts: ATTEMPTS,
        retryStrategies: rendered instanceof batch.EcsFargateContainerDefinition ? FARGATE_RETRIES : MACHINE_RETRIES,
        propagateTags: true,
        // Jobs that run during a deployment go on with the revision that they were submitted with.
        skipDeregisterOnUpdate: true,
      });
    this.cpu = {
      queue: new CpuFleet(this, 'Fleet', { most: settings.bulk.cpu, network }).queue,
      definition: definition('Shard', this.onProcessors(container, network)),
    };
    const gpu = gpuShards(this, { settings, network, storage, container });
    this.gpu = gpu && { queue: gpu.queue, definition: definition('GpuShard', gpu.container) };
    if (network.publicAddresses)
      acknowledge(
        this,
        'EdgeClip::JobPublicAddress',
        'Setting network: public. Without a gateway the address is the only way out, and nothing is let in by it.',
      );
    this.failedShards = this.collectFailures();
  }

  /** Those that there are. */
  get places(): BulkPlace[] {
    return this.gpu === undefined ? [this.cpu] : [this.cpu, this.gpu];
  }

  /** Submits jobs of these definitions, finds them again, asks after them and ends them. */
  grantSubmit(grantee: iam.IGrantable): void {
    grantActions(grantee, { actions: ['batch:ListJobs'], resources: ['*'] });
    const { places } = this;
    grantSubmit(this, grantee, {
      queues: places.map(({ queue }) => queue),
      definitions: places.map(({ definition }) => definition),
    });
  }

  /** What a shard's container is on whatever machine; the image is that for processors. */
  private container({ settings, storage }: BulkJobsProps) {
    const logGroup = createLogGroup(this, 'Logs', settings);
    const jobRole = new iam.Role(this, 'ShardRole', {
      assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
      description: 'What a shard of a bulk job may do: read published models and inputs, write its part',
    });
    storage.grantBulk(jobRole);
    storage.registry.grantServe(jobRole);
    return {
      image: ecs.ContainerImage.fromEcrRepository(
        storage.encoderImages,
        imageDigest(Stack.of(this), 'EncoderImageDigest'),
      ),
      // The image's entry point runs a program where the first word is one (api/encoder/Dockerfile).
      command: ['bulk/hosts/shard.mjs', 'Ref::job'],
      jobRole,
      executionRole: new iam.Role(this, 'ExecutionRole', {
        assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
        description: 'Pulls the image and writes the log, before and beside the program',
      }),
      environment: { AWS_REGION: Stack.of(this).region, ...modelEnvironment(settings, storage) },
      logging: ecs.LogDriver.awsLogs({ logGroup, streamPrefix: 'shard' }),
    };
  }

  private onProcessors(container: ReturnType<typeof this.container>, network: Network) {
    return new batch.EcsFargateContainerDefinition(this, 'Container', {
      ...container,
      cpu: SHARD.vcpus,
      memory: Size.mebibytes(SHARD.memory_mib),
      linuxParameters: new batch.LinuxParameters(this, 'Linux', { initProcessEnabled: true }),
      assignPublicIp: network.publicAddresses,
      fargateCpuArchitecture: ecs.CpuArchitecture.ARM64,
      fargateOperatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
    });
  }

  /**
   * Batch counts nothing for CloudWatch. Its events of children that failed go into a queue, whose length is a metric, and whose messages
   * say which children they were; a job that is not an array is one as well.
   */
  private collectFailures(): sqs.Queue {
    const failures = new sqs.Queue(this, 'FailedShards', {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    acknowledge(
      failures,
      'AwsSolutions::AwsSolutions-SQS3',
      'Nobody takes from this queue by a program: a person reads it, and what is not read stays for two weeks.',
    );
    const rule = new events.CfnRule(this, 'ShardFailed', {
      description: 'A shard of a bulk job failed in all of its attempts',
      eventPattern: {
        source: ['aws.batch'],
        'detail-type': ['Batch Job State Change'],
        detail: { jobQueue: this.places.map(({ queue }) => queue.jobQueueArn), status: ['FAILED'], ...FAULTS },
      },
      targets: [{ id: 'FailedShards', arn: failures.queueArn }],
    });
    failures.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal('events.amazonaws.com')],
        actions: ['sqs:SendMessage'],
        resources: [failures.queueArn],
        conditions: { ArnEquals: { 'aws:SourceArn': rule.attrArn } },
      }),
    );
    return failures;
  }
}
