// Where the training machines stand: two zones, no way in, S3 without a detour.
import { RemovalPolicy } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Settings } from '../environments.ts';
import { accept } from '../rules/accept.ts';

export class Network extends Construct {
  readonly vpc: ec2.Vpc;
  readonly subnets: ec2.SubnetSelection;
  /** Machines have public addresses, because there is no gateway that would translate theirs. */
  readonly publicAddresses: boolean;
  /** For every training machine: everything out, nothing in. */
  readonly securityGroup: ec2.SecurityGroup;

  constructor(scope: Construct, id: string, { settings }: { settings: Settings }) {
    super(scope, id);
    this.publicAddresses = settings.network === 'public';
    const subnetType = this.publicAddresses ? ec2.SubnetType.PUBLIC : ec2.SubnetType.PRIVATE_WITH_EGRESS;
    this.subnets = { subnetType };
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      maxAzs: 2,
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
      accept(
        this.vpc,
        'EdgeClip::SubnetPublicAddress',
        'Setting network: public. The security group lets nothing in, and a NAT gateway costs more than idle training.',
      );
    const flowLogs = new logs.LogGroup(this, 'FlowLogs', {
      retention: settings.log_days,
      removalPolicy: settings.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    this.vpc.addFlowLog('FlowLog', { destination: ec2.FlowLogDestination.toCloudWatchLogs(flowLogs) });
    this.securityGroup = new ec2.SecurityGroup(this, 'Machines', {
      vpc: this.vpc,
      description: 'Training machines: everything out, nothing in',
      allowAllOutbound: true,
    });
  }
}
