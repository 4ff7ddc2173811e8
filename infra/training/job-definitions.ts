// One Batch job definition per job class: the same image and argument, different machines, time limits and retries.
import { Duration, Size, Stack } from 'aws-cdk-lib';
import * as batch from 'aws-cdk-lib/aws-batch';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { bySomeJobClasses, type JobClass, type JobResources } from '../../contracts/src/job-classes.ts';
import { pascal } from '../../contracts/src/outputs.ts';
import { acknowledge } from '../base/acknowledge.ts';
import { imageDigest } from '../base/parameter.ts';
import type { CpuFleet } from '../fleets/cpu-fleet.ts';
import { GpuFleet } from '../fleets/gpu-fleet.ts';
import type { Machines } from '../fleets/machine-kinds.ts';
import { FARGATE_RETRIES, MACHINE_RETRIES } from '../fleets/retries.ts';
import { grantSubmit } from '../fleets/submit.ts';
import { SCRATCH } from '../fleets/user-data.ts';
import type { Network } from '../network/network.ts';
import type { Storage } from '../storage/storage.ts';

/** Data loaders pass batches through shared memory; Docker's default of 64 MiB is too small for them. For each GPU: */
const SHARED_MEMORY_MIB = 16_384;
/** Shared memory counts as the container's: this much stays for everything else. */
const PROCESS_MEMORY_MIB = 8_192;

/** Batch cannot set a task's stop timeout, and Fargate's own is 30 s. Our machines give 110 s, the container's default. */
const FARGATE_STOP_SECONDS = '28';

const SCRATCH_VOLUME = batch.EcsVolume.host({ name: 'scratch', hostPath: SCRATCH, containerPath: SCRATCH });
const UNLIMITED_LOCKED_MEMORY: batch.Ulimit = { name: batch.UlimitName.MEMLOCK, softLimit: -1, hardLimit: -1 };

export interface JobDefinitionsProps {
  /** Holds the trainer's images and what its containers read and write. */
  storage: Storage;
  /** Says whether containers on Fargate need public addresses. */
  network: Network;
  /** Where every training container logs. */
  logGroup: logs.LogGroup;
  /** The fleet of each job class; a class without one gets no definition. */
  fleets: Readonly<Partial<Record<JobClass, CpuFleet | GpuFleet>>>;
}

export class JobDefinitions extends Construct {
  readonly byClass: Readonly<Partial<Record<JobClass, batch.EcsJobDefinition | batch.MultiNodeJobDefinition>>>;

  constructor(scope: Construct, id: string, { storage, network, logGroup, fleets }: JobDefinitionsProps) {
    super(scope, id);
    const image = ecs.ContainerImage.fromEcrRepository(
      storage.trainerImages,
      imageDigest(Stack.of(this), 'TrainerImageDigest'),
    );
    const executionRole = new iam.Role(this, 'ExecutionRole', {
      assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
      description: 'Pulls the image and writes the log, before and beside the program',
    });
    const definition = (jobClass: JobClass, resources: JobResources) => {
      const fleet = fleets[jobClass];
      if (fleet === undefined) return undefined;
      const { vcpus, memory_mib, gpus, nodes, timeout_hours, attempts } = resources;
      const machines = fleet instanceof GpuFleet ? fleet.machines : undefined;
      const name = pascal(jobClass);
      const jobRole = new iam.Role(this, `${name}Role`, {
        assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
        description: `What a training container of class ${jobClass} may do`,
      });
      storage.grantTrain(jobRole);
      const container = {
        image,
        // The image's entry point takes one argument, the URI of job.json.
        command: ['Ref::job'],
        cpu: vcpus,
        memory: Size.mebibytes(memory_mib),
        jobRole,
        executionRole,
        readonlyRootFilesystem: false,
        environment: {
          // Only Fargate tells a container where it is.
          AWS_REGION: Stack.of(this).region,
          ...(machines === undefined ? { [ENVARS.stopSeconds]: FARGATE_STOP_SECONDS } : {}),
          ...(machines?.hasScratch === true ? { [ENVARS.workDir]: SCRATCH } : {}),
        },
        logging: ecs.LogDriver.awsLogs({ logGroup, streamPrefix: jobClass }),
      };
      // PID 1 that passes SIGTERM on and reaps the data loaders' workers.
      const init = { initProcessEnabled: true };
      const ofJob = {
        timeout: Duration.hours(timeout_hours),
        retryAttempts: attempts,
        retryStrategies: machines === undefined ? FARGATE_RETRIES : MACHINE_RETRIES,
        propagateTags: true,
        // Executions that run during a deployment continue with the revision that they were planned with.
        skipDeregisterOnUpdate: true,
      };
      const rendered =
        machines === undefined
          ? new batch.EcsFargateContainerDefinition(this, `${name}Container`, {
              ...container,
              linuxParameters: new batch.LinuxParameters(this, `${name}Linux`, init),
              assignPublicIp: network.publicAddresses,
              ephemeralStorageSize: Size.gibibytes(100),
              fargateCpuArchitecture: ecs.CpuArchitecture.X86_64,
              fargateOperatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
            })
          : new batch.EcsEc2ContainerDefinition(this, `${name}Container`, {
              ...container,
              gpu: gpus,
              privileged: false,
              linuxParameters: withDevices(
                new batch.LinuxParameters(this, `${name}Linux`, {
                  ...init,
                  sharedMemorySize: Size.mebibytes(Math.min(gpus * SHARED_MEMORY_MIB, memory_mib - PROCESS_MEMORY_MIB)),
                }),
                machines,
              ),
              // EFA registers memory that may not be swapped out.
              ulimits: machines.efaInterfaces === undefined ? [] : [UNLIMITED_LOCKED_MEMORY],
              volumes: machines.hasScratch ? [SCRATCH_VOLUME] : [],
            });
      if (nodes === 1) return new batch.EcsJobDefinition(this, name, { ...ofJob, container: rendered });
      return new batch.MultiNodeJobDefinition(this, name, {
        ...ofJob,
        instanceType: largestOf(machines),
        mainNode: 0,
        containers: [{ startNode: 0, endNode: nodes - 1, container: rendered }],
      });
    };
    if (network.publicAddresses)
      acknowledge(
        this,
        'EdgeClip::JobPublicAddress',
        'Setting network: public. Without a gateway the address is the only way out, and nothing is let in by it.',
      );
    this.byClass = bySomeJobClasses(definition);
  }

  /** Submits jobs of these definitions, asks after them and ends them. */
  grantSubmit(grantee: iam.IGrantable, queues: batch.JobQueue[]): void {
    grantSubmit(this, grantee, { queues, definitions: Object.values(this.byClass) });
  }
}

/** With the interfaces through which GPUs of several machines talk to each other without the kernel. */
function withDevices(parameters: batch.LinuxParameters, { efaInterfaces = 0 }: Machines): batch.LinuxParameters {
  for (let number = 0; number < efaInterfaces; number += 1) {
    const path = `/dev/infiniband/uverbs${number}`;
    parameters.addDevices({
      hostPath: path,
      containerPath: path,
      permissions: [batch.DevicePermission.READ, batch.DevicePermission.WRITE, batch.DevicePermission.MKNOD],
    });
  }
  return parameters;
}

/** The one kind of machine that a multi-node job names. */
function largestOf(machines: Machines | undefined): ec2.InstanceType {
  const kind = machines?.types.at(-1);
  if (kind === undefined) throw new TypeError('a job on several machines needs machines with GPUs');
  return new ec2.InstanceType(kind.type);
}
