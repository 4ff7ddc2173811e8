// The fleet for stages without a GPU: Fargate, spot before on-demand, no machine to own.
import * as batch from 'aws-cdk-lib/aws-batch';
import { Construct } from 'constructs';
import type { Settings } from '../base/settings.ts';
import type { Network } from '../network/network.ts';
import { QUEUE_TIME_LIMITS } from './job-queue.ts';

export interface CpuFleetProps {
  /** The most vCPUs on spot and on demand. */
  most: Settings['cpu'];
  /** Where its tasks run. */
  network: Network;
}

export class CpuFleet extends Construct {
  readonly queue: batch.JobQueue;

  constructor(scope: Construct, id: string, { most, network }: CpuFleetProps) {
    super(scope, id);
    const placement = {
      vpc: network.vpc,
      vpcSubnets: network.subnets,
      securityGroups: [network.securityGroup],
      replaceComputeEnvironment: false,
    };
    const spot = new batch.FargateComputeEnvironment(this, 'Spot', {
      ...placement,
      spot: true,
      maxvCpus: most.spot_max_vcpus,
    });
    const onDemand = new batch.FargateComputeEnvironment(this, 'OnDemand', {
      ...placement,
      maxvCpus: most.on_demand_max_vcpus,
    });
    for (const environment of [spot, onDemand]) withoutUpdatePolicy(environment);
    this.queue = new batch.JobQueue(this, 'Queue', {
      computeEnvironments: [
        { order: 1, computeEnvironment: spot },
        { order: 2, computeEnvironment: onDemand },
      ],
      jobStateTimeLimitActions: QUEUE_TIME_LIMITS,
    });
  }
}

/** How machines are replaced in an update. Fargate has none, and Batch refuses every update of an environment that says it. */
function withoutUpdatePolicy(environment: batch.FargateComputeEnvironment): void {
  const resource = environment.node.defaultChild;
  if (!(resource instanceof batch.CfnComputeEnvironment))
    throw new TypeError(`${environment.node.path} has no resource`);
  resource.addPropertyDeletionOverride('UpdatePolicy');
}
