// Where stages without a GPU run: Fargate, spot before on-demand, no machine to own.
import * as batch from 'aws-cdk-lib/aws-batch';
import { Construct } from 'constructs';
import type { Settings } from '../../environments.ts';
import type { Network } from '../../network/network.ts';
import { STUCK_IN_QUEUE } from './job-queue.ts';

export interface CpuFleetProps {
  settings: Settings;
  network: Network;
}

export class CpuFleet extends Construct {
  readonly queue: batch.JobQueue;

  constructor(scope: Construct, id: string, { settings, network }: CpuFleetProps) {
    super(scope, id);
    const place = {
      vpc: network.vpc,
      vpcSubnets: network.subnets,
      securityGroups: [network.securityGroup],
      replaceComputeEnvironment: false,
    };
    const spot = new batch.FargateComputeEnvironment(this, 'Spot', {
      ...place,
      spot: true,
      maxvCpus: settings.cpu.spot_max_vcpus,
    });
    const onDemand = new batch.FargateComputeEnvironment(this, 'OnDemand', {
      ...place,
      maxvCpus: settings.cpu.on_demand_max_vcpus,
    });
    this.queue = new batch.JobQueue(this, 'Queue', {
      computeEnvironments: [
        { order: 1, computeEnvironment: spot },
        { order: 2, computeEnvironment: onDemand },
      ],
      jobStateTimeLimitActions: STUCK_IN_QUEUE,
    });
  }
}
