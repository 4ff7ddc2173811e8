// The image encoder with a GPU: off unless the settings ask for it, and then on which machines, for whom, and watched.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { settingsOf } from '../../../infra/environments.ts';
import {
  array,
  GPU_ENCODER,
  one,
  propertiesOf,
  ROOT,
  record,
  statements,
  synthesis,
  synthesise,
  text,
} from '../../support/synthesis.ts';

const prod = settingsOf('prod');
const synthesised = synthesise({ ...prod, encoder: { ...prod.encoder, gpu: GPU_ENCODER } });
const { encoding, data, operations } = synthesised.templates;
const { id, properties } = one(encoding, 'AWS::Lambda::Function', 'EncodingGpu');

it('is not there unless the settings ask for it', () => {
  for (const environment of ['dev', 'prod'] as const) {
    const template = synthesis(environment).templates.encoding;
    expect(propertiesOf(template, 'AWS::Lambda::CapacityProvider')).toEqual({});
    expect(Object.keys(propertiesOf(template, 'AWS::Lambda::Function'))).toHaveLength(1);
    expect(template.Outputs).not.toHaveProperty('EncoderGpuUrl');
    expect(template.Parameters).not.toHaveProperty('EncoderGpuImageDigest');
  }
});

describe('the function', () => {
  it('is a container on x86-64 with the GPU memory of the settings, named by the digest given at deployment', () => {
    expect(properties).toMatchObject({ PackageType: 'Image', Architectures: ['x86_64'], Timeout: 60 });
    expect(properties.AcceleratorConfig).toEqual({ AcceleratorMemorySize: 24 });
    expect(text(record(properties.Code).ImageUri)).toMatch(/EncoderImages\w+>@sha256:<EncoderGpuImageDigest>$/);
    // Functions on managed instances reserve nothing: their machines are the bound.
    expect(properties).not.toHaveProperty('ReservedConcurrentExecutions');
  });

  it('runs the graph by CUDA, in one thread of Node, with what the other encoder is told', () => {
    const variables = (wanted: string) =>
      record(record(one(encoding, 'AWS::Lambda::Function', wanted).properties.Environment).Variables);
    const { ENCODER_PROVIDER, AWS_LAMBDA_NODEJS_WORKER_COUNT, ...others } = variables('EncodingGpu');
    expect([ENCODER_PROVIDER, AWS_LAMBDA_NODEJS_WORKER_COUNT]).toEqual(['cuda', '1']);
    expect(others).toEqual(variables('EncodingFunction'));
  });

  it('has as many environments as the settings say, and a published version to call', () => {
    expect(properties.FunctionScalingConfig).toEqual({ MinExecutionEnvironments: 0, MaxExecutionEnvironments: 2 });
    expect(properties.PublishToLatestPublished).toBe(true);
    const { LambdaManagedInstancesCapacityProviderConfig: config } = record(properties.CapacityProviderConfig);
    const { id: machines } = one(encoding, 'AWS::Lambda::CapacityProvider');
    expect(text(record(config).CapacityProviderArn)).toBe(`<${machines}.Arn>`);
    // 16 GiB over four vCPUs.
    expect(record(config)).toMatchObject({
      ExecutionEnvironmentMemoryGiBPerVCpu: Number(properties.MemorySize) / 1024 / 4,
      PerExecutionEnvironmentMaxConcurrency: 16,
    });
  });
});

describe('its machines', () => {
  const { properties: machines } = one(encoding, 'AWS::Lambda::CapacityProvider');

  it('are of the kind that has that GPU, one more than calls may use, in private subnets, and carry the tags of the budget', () => {
    expect(machines.InstanceRequirements).toEqual({ AllowedInstanceTypes: ['g6.2xlarge'], Architectures: ['x86_64'] });
    expect(machines.CapacityProviderScalingConfig).toMatchObject({ MaxVCpuCount: 3 * 8 });
    const { SubnetIds, SecurityGroupIds } = record(machines.VpcConfig);
    for (const subnet of array(SubnetIds).map(text)) expect(subnet).toMatch(/network:.*[Pp]rivate/);
    expect(array(SubnetIds)).toHaveLength(prod.zones);
    expect(array(SecurityGroupIds)).toHaveLength(1);
    const { Mode, ExplicitTags } = record(machines.PropagateTags);
    expect(Mode).toBe('Explicit');
    expect(array(ExplicitTags)).toEqual(
      expect.arrayContaining([
        { Key: 'project', Value: 'edge-clip' },
        { Key: 'environment', Value: 'prod' },
      ]),
    );
  });

  it('are started by Lambda alone: machines that it manages, of images of Amazon, in these subnets', () => {
    const granted = statements(synthesised).filter(({ holder }) => holder.startsWith('EncodingGpuOperatorRole'));
    const run = granted.filter(({ actions }) => actions.includes('ec2:RunInstances'));
    const conditions = run.map(({ condition }) => record(condition?.StringEquals ?? {}));
    expect(conditions).toEqual([
      { 'ec2:ManagedResourceOperator': 'scaler.lambda.amazonaws.com' },
      {},
      { 'ec2:Owner': 'amazon' },
    ]);
    for (const resource of run[1]?.resources ?? []) expect(resource).not.toContain('*');
    const { AssumeRolePolicyDocument } = one(encoding, 'AWS::IAM::Role', 'EncodingGpuOperatorRole').properties;
    expect(JSON.stringify(AssumeRolePolicyDocument)).toContain('lambda.amazonaws.com');
  });
});

it('reads what the other encoder reads, and nothing else', () => {
  const granted = (holder: string) =>
    statements(synthesised)
      .filter((one) => one.holder.startsWith(holder))
      .map(({ actions, resources, condition }) => ({ actions, resources, condition }));
  const withoutLogs = (all: ReturnType<typeof granted>) =>
    all.filter(({ actions }) => !actions[0]?.startsWith('logs:'));
  expect(withoutLogs(granted('EncodingGpuRoleDefaultPolicy'))).toEqual(
    withoutLogs(granted('EncodingRoleDefaultPolicy')),
  );
});

it('is called by the Worker, signed, with both permissions of its URL, which is an output', () => {
  const { id: access } = one(encoding, 'AWS::IAM::ManagedPolicy');
  const granted = statements(synthesised).filter(
    ({ holder, resources }) => holder === access && resources.includes(`<${id}.Arn>`),
  );
  expect(granted.flatMap(({ actions }) => actions).toSorted()).toEqual([
    'lambda:InvokeFunction',
    'lambda:InvokeFunctionUrl',
  ]);
  const { id: url, properties: address } = one(encoding, 'AWS::Lambda::Url', 'EncodingGpu');
  expect(address.AuthType).toBe('AWS_IAM');
  expect(address).not.toHaveProperty('Qualifier');
  expect(text(encoding.Outputs.EncoderGpuUrl?.Value)).toBe(`<${url}.FunctionUrl>`);
});

it('has room for its images beside those of the other encoder', () => {
  const kept = (template: typeof data) =>
    JSON.parse(
      text(
        record(one(template, 'AWS::ECR::Repository', 'DataEncoderImages').properties.LifecyclePolicy)
          .LifecyclePolicyText,
      ),
    ).rules[0].selection.countNumber;
  expect([kept(synthesis('prod').templates.data), kept(data)]).toEqual([20, 40]);
});

describe('is watched as the other one', () => {
  const alarms = Object.values(propertiesOf(operations, 'AWS::CloudWatch::Alarm'));
  const named = (name: string) => alarms.find(({ AlarmName }) => AlarmName === `edge-clip-prod-${name}`) ?? {};
  const runbook = readFileSync(join(ROOT, 'infra', 'README.md'), 'utf8');

  it.each(['Fails', 'Refuses', 'Slow'])('by an alarm that it %s, from the same measure on, with a runbook', (what) => {
    const [cpu, gpu] = [named(`Encoder${what}`), named(`EncoderGpu${what}`)];
    for (const key of ['Threshold', 'EvaluationPeriods', 'MetricName', 'ComparisonOperator', 'TreatMissingData'])
      expect(gpu[key], key).toEqual(cpu[key]);
    expect(gpu.Threshold).toBeGreaterThan(0);
    const watched = JSON.stringify(gpu.Metrics ?? gpu.Dimensions);
    expect(watched).toContain('EncodingGpuFunction');
    expect(JSON.stringify(cpu.Metrics ?? cpu.Dimensions)).not.toContain('EncodingGpuFunction');
    expect(String(gpu.AlarmDescription)).toContain(`What to do: infra/README.md, EncoderGpu${what}.`);
    expect(runbook).toContain(`\n### EncoderGpu${what}\n`);
  });

  it('on the dashboard, with its calls and how long they take', () => {
    const body = text(one(operations, 'AWS::CloudWatch::Dashboard').properties.DashboardBody);
    for (const title of ['Calls to the image encoder', 'Milliseconds of a call to the image encoder'])
      for (const which of ['', ' with a GPU']) expect(body).toContain(`"title":"${title}${which}"`);
    const without = text(
      one(synthesis('prod').templates.operations, 'AWS::CloudWatch::Dashboard').properties.DashboardBody,
    );
    expect(without).not.toContain('with a GPU');
  });
});
