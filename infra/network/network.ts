// Network of the training machines: several zones, no ingress, S3 through a gateway endpoint.
import { Fn } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';
import { acknowledge } from '../base/acknowledge.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';

export interface NetworkProps {
  /** Read here: the kind of network, its zones, and how long flow logs are kept. */
  settings: Settings;
}

export class Network extends Construct {
  readonly vpc: ec2.Vpc;
  readonly subnets: ec2.SubnetSelection;
  /** Machines have public addresses, because there is no gateway that would translate theirs. */
  readonly publicAddresses: boolean;
  /** For every training machine: everything out, nothing in. */
  readonly securityGroup: ec2.SecurityGroup;

  constructor(scope: Construct, id: string, { settings }: NetworkProps) {
    super(scope, id);
    this.publicAddresses = settings.network === 'public';
    const subnetType = this.publicAddresses ? ec2.SubnetType.PUBLIC : ec2.SubnetType.PRIVATE_WITH_EGRESS;
    this.subnets = { subnetType };
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      availabilityZones: zones(settings.zones),
      // Addresses of zones that are added later are kept free, so that no subnet has to move for them.
      reservedAzs: MOST_ZONES - settings.zones,
      natGateways: this.publicAddresses ? 0 : 1,
      subnetConfiguration: [
        { name: 'public', subnetType: ec2.SubnetType.PUBLIC, cidrMask: 24, mapPublicIpOnLaunch: this.publicAddresses },
        ...(this.publicAddresses ? [] : [{ name: 'private', subnetType, cidrMask: 22 }]),
      ],
      // Emptying the default group takes a function with rights on all groups. Nothing here is ever placed in that group.
      restrictDefaultSecurityGroup: false,
      // Free, and the data sets would otherwise be billed per gigabyte by the NAT gateway.
      gatewayEndpoints: { S3: { service: ec2.GatewayVpcEndpointAwsService.S3 } },
    });
    if (this.publicAddresses)
      acknowledge(
        this.vpc,
        'EdgeClip::SubnetPublicAddress',
        'Setting network: public. The security group lets nothing in, and a NAT gateway costs more than idle training.',
      );
    const flowLogs = createLogGroup(this, 'FlowLogs', settings);
    this.vpc.addFlowLog('FlowLog', { destination: ec2.FlowLogDestination.toCloudWatchLogs(flowLogs) });
    this.securityGroup = new ec2.SecurityGroup(this, 'Machines', {
      vpc: this.vpc,
      description: 'Training machines: everything out, nothing in',
      allowAllOutbound: true,
    });
  }
}

/** As many as the settings allow. */
const MOST_ZONES = 6;

/**
 * The first zones of whichever region it is. Which of them offer a kind of machine is nothing that a template can ask; Batch
 * starts machines in those that do, and a subnet in one that does not costs nothing.
 */
function zones(count: number): string[] {
  return Array.from({ length: count }, (_, index) => Fn.select(index, Fn.getAzs()));
}
