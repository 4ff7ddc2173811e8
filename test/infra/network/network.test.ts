// Where training machines stand, in both modes.
import { describe, expect, it } from 'vitest';
import { one, propertiesOf, synthesis, text } from '../../support/synthesis.ts';

describe.each(['dev', 'prod'] as const)('the network of %s', (environment) => {
  const { network } = synthesis(environment).templates;

  it('lets nothing in', () => {
    const { properties } = one(network, 'AWS::EC2::SecurityGroup');
    expect(properties.SecurityGroupIngress).toBeUndefined();
    expect(propertiesOf(network, 'AWS::EC2::SecurityGroupIngress')).toEqual({});
    expect(properties.SecurityGroupEgress).toEqual([
      expect.objectContaining({ CidrIp: '0.0.0.0/0', IpProtocol: '-1' }),
    ]);
  });

  it('reaches S3 without a gateway that is paid by the gigabyte', () => {
    const { properties } = one(network, 'AWS::EC2::VPCEndpoint');
    expect(properties.VpcEndpointType).toBe('Gateway');
    expect(text(properties.ServiceName)).toBe('com.amazonaws.<AWS::Region>.s3');
  });

  it('stands in as many zones as the settings say, the first ones of any region', () => {
    const zones = Object.values(propertiesOf(network, 'AWS::EC2::Subnet')).map(({ AvailabilityZone }) =>
      JSON.stringify(AvailabilityZone),
    );
    expect([...new Set(zones)]).toEqual(
      [0, 1, 2].map((index) => JSON.stringify({ 'Fn::Select': [index, { 'Fn::GetAZs': '' }] })),
    );
  });

  it('records its flows into a log', () => {
    const { properties } = one(network, 'AWS::EC2::FlowLog');
    expect(properties).toMatchObject({ ResourceType: 'VPC', TrafficType: 'ALL' });
    expect(text(properties.LogGroupName)).toMatch(/^<NetworkFlowLogs\w+>$/);
  });
});

describe('the mode of the network', () => {
  const subnets = (environment: 'dev' | 'prod') =>
    Object.values(propertiesOf(synthesis(environment).templates.network, 'AWS::EC2::Subnet'));
  const gateways = (environment: 'dev' | 'prod') =>
    Object.keys(propertiesOf(synthesis(environment).templates.network, 'AWS::EC2::NatGateway')).length;

  it('nat hides machines behind one gateway', () => {
    expect(gateways('prod')).toBe(1);
    expect(subnets('prod')).toHaveLength(6);
    expect(subnets('prod').every(({ MapPublicIpOnLaunch }) => MapPublicIpOnLaunch === false)).toBe(true);
  });

  it('public pays for no gateway and gives machines addresses instead', () => {
    expect(gateways('dev')).toBe(0);
    expect(subnets('dev')).toHaveLength(3);
    expect(subnets('dev').every(({ MapPublicIpOnLaunch }) => MapPublicIpOnLaunch === true)).toBe(true);
  });
});
