// A fleet of machines with GPUs: none while nothing is queued, spot before on-demand; side by side where jobs span several.
import { Duration } from 'aws-cdk-lib';
import * as batch from 'aws-cdk-lib/aws-batch';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { Settings } from '../base/settings.ts';
import type { Network } from '../network/network.ts';
import { grantContainerInstance } from './container-instance.ts';
import { QUEUE_TIME_LIMITS } from './job-queue.ts';
import type { Machines } from './machine-kinds.ts';
import { userDataOf } from './user-data.ts';

/** Longest wait of Batch for running jobs before it replaces their machines; the jobs resume from a checkpoint. */
const UPDATE_TIMEOUT = Duration.minutes(360);

export interface GpuFleetProps {
  /** Read here: the size of a machine's disk. */
  settings: Settings;
  /** Where its machines run. */
  network: Network;
  /** Which machines, and how many. */
  machines: Machines;
  /** How long a machine waits for the next job; undefined: it is ended when nothing is queued. */
  idleMinutes: number | undefined;
}

export class GpuFleet extends Construct {
  readonly queue: batch.JobQueue;
  /** What it consists of. */
  readonly machines: Machines;

  constructor(scope: Construct, id: string, { settings, network, machines, idleMinutes }: GpuFleetProps) {
    super(scope, id);
    this.machines = machines;
    const isSideBySide = machines.efaInterfaces !== undefined;
    const instanceRole = new iam.Role(this, 'InstanceRole', {
      assumedBy: new iam.ServicePrincipal('ec2.amazonaws.com'),
      description:
        'Lets a machine join the cluster that Batch made; images, logs and data belong to the roles of the jobs',
    });
    grantContainerInstance(instanceRole);
    const securityGroups = [network.securityGroup, ...(isSideBySide ? [this.neighbours(network)] : [])];
    const launchTemplate = this.launchTemplate(settings.gpu.root_gib, securityGroups);
    const machine = {
      vpc: network.vpc,
      vpcSubnets: isSideBySide ? firstOf(network) : network.subnets,
      securityGroups,
      instanceRole,
      // The default adds machines without a GPU to the list.
      useOptimalInstanceClasses: false,
      images: [{ imageType: batch.EcsMachineImageType.ECS_AL2023_NVIDIA }],
      launchTemplate,
      ...(isSideBySide
        ? {
            placementGroup: new ec2.PlacementGroup(this, 'Neighbours', {
              strategy: ec2.PlacementGroupStrategy.CLUSTER,
            }),
          }
        : {}),
      minvCpus: 0,
      // An environment without a name of its own can be updated in place; replacing it would lose what runs in it.
      replaceComputeEnvironment: false,
      updateTimeout: UPDATE_TIMEOUT,
      updateToLatestImageVersion: true,
    };
    const spot =
      machines.spotMaxVcpus === undefined
        ? []
        : [
            new batch.ManagedEc2EcsComputeEnvironment(this, 'Spot', {
              ...machine,
              ...upTo(machines, machines.spotMaxVcpus),
              spot: true,
              allocationStrategy: batch.AllocationStrategy.SPOT_PRICE_CAPACITY_OPTIMIZED,
            }),
          ];
    const onDemand = new batch.ManagedEc2EcsComputeEnvironment(this, 'OnDemand', {
      ...machine,
      ...upTo(machines, machines.onDemandMaxVcpus),
      allocationStrategy: batch.AllocationStrategy.BEST_FIT_PROGRESSIVE,
    });
    const environments = [...spot, onDemand];
    for (const environment of environments) override(environment, launchTemplate, idleMinutes);
    this.queue = new batch.JobQueue(this, 'Queue', {
      // The second environment takes a job when no machine of the first is available.
      computeEnvironments: environments.map((computeEnvironment, index) => ({ order: index + 1, computeEnvironment })),
      jobStateTimeLimitActions: QUEUE_TIME_LIMITS,
    });
  }

  private launchTemplate(rootGib: number, securityGroups: ec2.SecurityGroup[]): ec2.LaunchTemplate {
    const template = new ec2.LaunchTemplate(this, 'Machine', {
      userData: userDataOf(this.machines),
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
    const { efaInterfaces = 0 } = this.machines;
    const resource = template.node.defaultChild;
    if (efaInterfaces > 0 && resource instanceof ec2.CfnLaunchTemplate)
      resource.addPropertyOverride(
        'LaunchTemplateData.NetworkInterfaces',
        Array.from({ length: efaInterfaces }, (_, card) => ({
          NetworkCardIndex: card,
          // One with an address; the others carry nothing but what the GPUs say to each other.
          DeviceIndex: card === 0 ? 0 : 1,
          InterfaceType: card === 0 ? 'efa' : 'efa-only',
          Groups: securityGroups.map(({ securityGroupId }) => securityGroupId),
          DeleteOnTermination: true,
        })),
      );
    return template;
  }

  /**
   * Lets machines that work together talk to each other: Batch gives each container of a multi-node job an interface with
   * the groups of its machine. EFA asks for both directions by name, everything out is not enough.
   */
  private neighbours({ vpc }: Network): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, 'NeighboursOnly', {
      vpc,
      description: 'Machines of one job: everything among themselves',
      allowAllOutbound: true,
    });
    const itself = { groupId: group.securityGroupId, ipProtocol: '-1', description: 'Machines of this group' };
    new ec2.CfnSecurityGroupIngress(this, 'FromNeighbours', {
      ...itself,
      sourceSecurityGroupId: group.securityGroupId,
    });
    new ec2.CfnSecurityGroupEgress(this, 'ToNeighbours', {
      ...itself,
      destinationSecurityGroupId: group.securityGroupId,
    });
    return group;
  }
}

/** Batch may exceed the limit by one machine: one that is larger than the limit by itself must not be offered. */
function upTo({ types }: Machines, maxvCpus: number): { maxvCpus: number; instanceTypes: ec2.InstanceType[] } {
  const instanceTypes = types.filter(({ vcpus }) => vcpus <= maxvCpus).map(({ type }) => new ec2.InstanceType(type));
  return { maxvCpus, instanceTypes };
}

/** The subnet of one zone: a cluster placement group spans no more. */
function firstOf({ vpc, subnets }: Network): ec2.SubnetSelection {
  return { subnets: vpc.selectSubnets(subnets).subnets.slice(0, 1) };
}

/** What the library's construct cannot say. */
function override(
  environment: batch.ManagedEc2EcsComputeEnvironment,
  template: ec2.LaunchTemplate,
  idleMinutes: number | undefined,
): void {
  const resource = environment.node.defaultChild;
  if (!(resource instanceof batch.CfnComputeEnvironment))
    throw new TypeError(`${environment.node.path} has no resource`);
  // Without a version Batch takes the default one, which CloudFormation leaves at 1: a change of the template would never
  // reach a machine.
  resource.addPropertyOverride('ComputeResources.LaunchTemplate.Version', template.latestVersionNumber);
  // A machine that has pulled the image is minutes faster than a new one.
  if (idleMinutes !== undefined)
    resource.addPropertyOverride('ComputeResources.ScalingPolicy.MinScaleDownDelayMinutes', idleMinutes);
}
