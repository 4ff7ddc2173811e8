// The fleet for stages with a GPU: no machine while nothing is queued, spot before on-demand, one GPU per machine.
import { Duration } from 'aws-cdk-lib';
import * as batch from 'aws-cdk-lib/aws-batch';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { Settings } from '../../base/settings.ts';
import type { Network } from '../../network/network.ts';
import { grantContainerInstance } from './container-instance.ts';
import { QUEUE_TIME_LIMITS } from './job-queue.ts';

/** L40S (48 GB), L4 and A10G (24 GB): the more kinds are acceptable, the likelier it is that one of them is available on spot. */
const FAMILIES = ['g6e', 'g6', 'g5'];
/** All with one GPU; the smallest holds a job of class `embed`, the middle one a job of class `train`. */
const SIZES = ['xlarge', '2xlarge', '4xlarge'];

/** Longest wait of Batch for running jobs before it replaces their machines; the jobs resume from a checkpoint. */
const UPDATE_TIMEOUT = Duration.minutes(360);

/** Off by default. With it the two minutes of warning reach the container as SIGTERM, and it has 110 s to save. */
const ECS_CONFIG = `#!/bin/bash
echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config
echo ECS_CONTAINER_STOP_TIMEOUT=110s >> /etc/ecs/ecs.config
`;

export interface GpuFleetProps {
  /** Read here: the most vCPUs on spot and on demand, and the size of a machine's disk. */
  settings: Settings;
  /** Where its machines run. */
  network: Network;
}

export class GpuFleet extends Construct {
  readonly queue: batch.JobQueue;

  constructor(scope: Construct, id: string, { settings, network }: GpuFleetProps) {
    super(scope, id);
    const instanceRole = new iam.Role(this, 'InstanceRole', {
      assumedBy: new iam.ServicePrincipal('ec2.amazonaws.com'),
      description:
        'Lets a machine join the cluster that Batch made; images, logs and data belong to the roles of the jobs',
    });
    grantContainerInstance(instanceRole);
    const launchTemplate = this.launchTemplate(settings.gpu.root_gib);
    const machine = {
      vpc: network.vpc,
      vpcSubnets: network.subnets,
      securityGroups: [network.securityGroup],
      instanceRole,
      instanceTypes: FAMILIES.flatMap((family) => SIZES.map((size) => new ec2.InstanceType(`${family}.${size}`))),
      // The default adds machines without a GPU to the list.
      useOptimalInstanceClasses: false,
      images: [{ imageType: batch.EcsMachineImageType.ECS_AL2023_NVIDIA }],
      launchTemplate,
      minvCpus: 0,
      // An environment without a name of its own can be updated in place; replacing it would lose what runs in it.
      replaceComputeEnvironment: false,
      updateTimeout: UPDATE_TIMEOUT,
      updateToLatestImageVersion: true,
    };
    const spot = new batch.ManagedEc2EcsComputeEnvironment(this, 'Spot', {
      ...machine,
      spot: true,
      allocationStrategy: batch.AllocationStrategy.SPOT_PRICE_CAPACITY_OPTIMIZED,
      maxvCpus: settings.gpu.spot_max_vcpus,
    });
    const onDemand = new batch.ManagedEc2EcsComputeEnvironment(this, 'OnDemand', {
      ...machine,
      allocationStrategy: batch.AllocationStrategy.BEST_FIT_PROGRESSIVE,
      maxvCpus: settings.gpu.on_demand_max_vcpus,
    });
    for (const environment of [spot, onDemand]) useLatestVersion(environment, launchTemplate);
    this.queue = new batch.JobQueue(this, 'Queue', {
      // The second environment takes a job when no machine of the first is available.
      computeEnvironments: [
        { order: 1, computeEnvironment: spot },
        { order: 2, computeEnvironment: onDemand },
      ],
      jobStateTimeLimitActions: QUEUE_TIME_LIMITS,
    });
  }

  private launchTemplate(rootGib: number): ec2.LaunchTemplate {
    // Batch merges its own user data into ours, which it can only do with MIME parts.
    const userData = new ec2.MultipartUserData();
    userData.addPart(
      ec2.MultipartBody.fromRawBody({ contentType: 'text/x-shellscript; charset="us-ascii"', body: ECS_CONFIG }),
    );
    return new ec2.LaunchTemplate(this, 'Machine', {
      userData,
      requireImdsv2: true,
      // One hop: containers cannot reach the credentials of the machine.
      httpPutResponseHopLimit: 1,
      blockDevices: [
        {
          deviceName: '/dev/xvda',
          volume: ec2.BlockDeviceVolume.ebs(rootGib, {
            volumeType: ec2.EbsDeviceVolumeType.GP3,
            encrypted: true,
            deleteOnTermination: true,
          }),
        },
      ],
    });
  }
}

/**
 * The library names no version, and Batch then takes the default one, which CloudFormation leaves at 1
 * permanently: a change of the template would never reach a machine.
 */
function useLatestVersion(environment: batch.ManagedEc2EcsComputeEnvironment, template: ec2.LaunchTemplate): void {
  const resource = environment.node.defaultChild;
  if (!(resource instanceof batch.CfnComputeEnvironment))
    throw new TypeError(`${environment.node.path} has no resource`);
  resource.addPropertyOverride('ComputeResources.LaunchTemplate.Version', template.latestVersionNumber);
}
