// Checks of every synthesis: permissions of every policy, cdk-nag's rules with what is acknowledged, our own rules on good and bad.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, type Stack } from 'aws-cdk-lib';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { CfnLogGroup } from 'aws-cdk-lib/aws-logs';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { describe, expect, it } from 'vitest';
import { VCPU_BUDGET } from '../../../infra/base/settings.ts';
import { settingsOf } from '../../../infra/environments.ts';
import { BatchChecks, brokenRules } from '../../../infra/rules/batch-checks.ts';
import { RULES } from '../../../infra/rules/batch-rules.ts';
import { addChecks } from '../../../infra/rules/checks.ts';
import { WILDCARDS, wildcardsFor } from '../../../infra/rules/wildcards.ts';
import { createStacks } from '../../../infra/stacks.ts';
import {
  EVERY_MACHINE,
  GPU_ENCODER,
  GPU_SHARDS,
  STACKS,
  statements,
  synthesis,
  synthesise,
  Template,
} from '../../support/synthesis.ts';

const ALL = [
  { name: 'dev', synthesised: synthesise(settingsOf('dev'), { checks: true }) },
  { name: 'prod', synthesised: synthesise(settingsOf('prod'), { checks: true }) },
  {
    name: 'prod with models in S3 and every kind of machine',
    synthesised: synthesise(
      {
        ...settingsOf('prod'),
        ...EVERY_MACHINE,
        registry: 's3',
        worker_issuer: 'clip.example.com',
        encoder: { ...settingsOf('prod').encoder, gpu: GPU_ENCODER },
        bulk: { ...settingsOf('prod').bulk, gpu: GPU_SHARDS },
      },
      { checks: true },
    ),
  },
];

describe.each(ALL)('permissions in $name', ({ synthesised }) => {
  const allowed = statements(synthesised).filter(({ effect }) => effect === 'Allow');

  it('are written in policies that this test can see', () => {
    expect(new Set(allowed.map(({ stack }) => stack))).toEqual(new Set(STACKS));
    expect(allowed.length).toBeGreaterThan(40);
  });

  it('name every action in full, but for the account in the policy of the key', () => {
    const wide = allowed.flatMap(({ holder, actions }) =>
      actions.filter((action) => action.includes('*')).map((action) => `${holder.slice(0, 7)} ${action}`),
    );
    expect(wide).toEqual(['DataKey kms:*']);
  });

  it('name every resource in full, but for wildcards that are listed with a reason', () => {
    const unlisted = allowed.flatMap(({ holder, actions, flattened }) =>
      flattened
        .filter((resource) => resource.includes('*') && wildcardsFor(actions, resource) === undefined)
        .map((resource) => `${holder}: ${actions.join(', ')} on ${resource}`),
    );
    expect(unlisted).toEqual([]);
  });

  it('come from no policy that AWS writes', () => {
    for (const stack of STACKS) expect(JSON.stringify(synthesised.templates[stack])).not.toMatch(/:iam::aws:policy/);
  });
});

describe('the list of wildcards', () => {
  it('gives each a reason that can be argued with', () => {
    for (const { reason } of WILDCARDS) expect(reason.length).toBeGreaterThanOrEqual(20);
  });

  it('holds none that no policy uses any more', () => {
    const used = ALL.flatMap(({ synthesised }) => statements(synthesised))
      .filter(({ effect }) => effect === 'Allow')
      .flatMap(({ actions, flattened }) => flattened.flatMap((resource) => wildcardsFor(actions, resource) ?? []));
    expect(WILDCARDS.filter((wildcard) => !used.includes(wildcard))).toEqual([]);
  });

  it('covers an action on one resource and not on another', () => {
    expect(wildcardsFor(['batch:DescribeJobs'], '*')).toHaveLength(1);
    expect(wildcardsFor(['batch:TerminateJob'], '*')).toBeUndefined();
    expect(wildcardsFor(['batch:DescribeJobs', 's3:GetObject'], '*')).toBeUndefined();
    expect(
      wildcardsFor(
        ['s3:DeleteObject'],
        '{"OutputName":"PublishOutputFnGetAttDataModelsBucketB7310030Arn421A190E"}}/models/*',
      ),
    ).toBeUndefined();
  });
});

describe.each(ALL)('the checks of $name', ({ synthesised: { report } }) => {
  it('found nothing, warnings included, that is not acknowledged', () => {
    expect(report.pluginReports.flatMap(({ violations }) => violations)).toEqual([]);
  });

  it('acknowledge nothing without a reason that can be argued with', () => {
    const acknowledged = report.pluginReports.flatMap(({ suppressedViolations }) => suppressedViolations);
    expect(acknowledged.length).toBeGreaterThan(0);
    for (const { reason } of acknowledged) expect(reason.length).toBeGreaterThanOrEqual(20);
  });
});

describe.each(ALL)('what is acknowledged in $name', ({ synthesised: { app, report } }) => {
  it('is a finding each: nothing is acknowledged that is no longer found', () => {
    const acknowledged = app.node.findAll().flatMap(({ node }) =>
      node.metadata
        .filter(({ type }) => type === 'aws:cdk:acknowledged-rules')
        .flatMap(({ data }) => Object.keys(data).map((id) => `${id} at ${node.path}`))
        // The library acknowledges findings of its own about its own constructs.
        .filter((name) => /^(AwsSolutions|EdgeClip)::|EncodingGpu/.test(name)),
    );
    const found = report.pluginReports.flatMap(({ suppressedViolations }) =>
      suppressedViolations.map(({ acknowledgedId, acknowledgedAt }) => `${acknowledgedId} at ${acknowledgedAt}`),
    );
    expect([...new Set(acknowledged)].toSorted()).toEqual([...new Set(found)].toSorted());
  });

  it('is these kinds of findings, wildcards aside', () => {
    const kinds = report.pluginReports
      .flatMap(({ suppressedViolations }) => suppressedViolations.map(({ acknowledgedId }) => acknowledgedId))
      .filter((id) => !id.startsWith('AwsSolutions::AwsSolutions-IAM5[Resource::'));
    const expected = ['AwsSolutions::AwsSolutions-SQS3'];
    if (app.node.tryFindChild('edge-clip-dev-data') !== undefined)
      expected.push('EdgeClip::JobPublicAddress', 'EdgeClip::SubnetPublicAddress');
    if (app.node.findAll().some(({ node }) => node.path.endsWith('EncodingGpu/Function')))
      expected.push('CloudFormation-Validate::F3002');
    if (app.node.findAll().some(({ node }) => node.path.endsWith('Data/Registry/Secret')))
      expected.push('AwsSolutions::AwsSolutions-SMG4');
    expect([...new Set(kinds)].toSorted()).toEqual(expected.toSorted());
  });
});

describe('a synthesis', () => {
  const withMore = (more: (stack: Stack) => void) => () => {
    const outdir = mkdtempSync(join(tmpdir(), 'edge-clip-infra-'));
    try {
      const context = { 'aws:cdk:bundling-stacks': [] };
      const app = new App({ outdir, context, analyticsReporting: false, builtinCloudFormationValidation: false });
      const { network } = createStacks(app, settingsOf('prod'));
      addChecks(app);
      more(network);
      app.synth();
    } finally {
      rmSync(outdir, { recursive: true, force: true });
    }
  };

  it('fails on a finding of cdk-nag that is not acknowledged', () => {
    expect(withMore((stack) => new Topic(stack, 'Open'))).toThrow('AwsSolutions::AwsSolutions-SNS3');
  });

  it('fails on a finding of our own rules that is not acknowledged', () => {
    expect(withMore((stack) => new CfnLogGroup(stack, 'Logs'))).toThrow('EdgeClip::LogRetention');
  });

  it('fails on a wildcard that is not listed', () => {
    const permit = (stack: Stack) =>
      new ManagedPolicy(stack, 'Wide', {
        statements: [new PolicyStatement({ actions: ['s3:GetObject'], resources: ['*'] })],
      });
    expect(withMore(permit)).toThrow('AwsSolutions::AwsSolutions-IAM5[Resource::*]');
  });
});

describe('our own rules', () => {
  const good = Object.assign({}, ...STACKS.map((stack) => synthesis('prod').templates[stack].Resources));

  it('hold for everything in prod', () => {
    expect(brokenRules({ Resources: good })).toEqual([]);
  });

  it('name the resource and the sentence that it breaks', () => {
    const [broken] = brokenRules({ Resources: { Logs: { Type: 'AWS::Logs::LogGroup', Properties: {} } } });
    expect(broken).toMatchObject({
      logicalId: 'Logs',
      rule: { name: 'LogRetention', description: 'Logs are kept for a stated time.' },
    });
  });

  /** One thing made worse in a resource that was good. */
  const BAD: { rule: string; type: string; path: string; value: unknown }[] = [
    {
      rule: 'MachineMetadata',
      type: 'AWS::EC2::LaunchTemplate',
      path: 'LaunchTemplateData.MetadataOptions.HttpTokens',
      value: 'optional',
    },
    {
      rule: 'MachineMetadata',
      type: 'AWS::EC2::LaunchTemplate',
      path: 'LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit',
      value: 2,
    },
    {
      rule: 'MachineMetadata',
      type: 'AWS::EC2::LaunchTemplate',
      path: 'LaunchTemplateData.MetadataOptions',
      value: undefined,
    },
    {
      rule: 'MachineDiskEncrypted',
      type: 'AWS::EC2::LaunchTemplate',
      path: 'LaunchTemplateData.BlockDeviceMappings.0.Ebs.Encrypted',
      value: false,
    },
    {
      rule: 'MachineDiskEncrypted',
      type: 'AWS::EC2::LaunchTemplate',
      path: 'LaunchTemplateData.BlockDeviceMappings',
      value: undefined,
    },
    {
      rule: 'MachineTemplateVersion',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.LaunchTemplate.Version',
      value: undefined,
    },
    {
      rule: 'MachineTemplateVersion',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.LaunchTemplate.Version',
      value: '$Default',
    },
    {
      rule: 'MachineImage',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.Ec2Configuration.0.ImageType',
      value: 'ECS_AL2_NVIDIA',
    },
    {
      rule: 'MachineImage',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.Ec2Configuration',
      value: undefined,
    },
    {
      rule: 'MachineKinds',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.InstanceTypes',
      value: ['g6.xlarge', 'optimal'],
    },
    {
      rule: 'MachineKinds',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.InstanceTypes',
      value: ['default_x86_64'],
    },
    { rule: 'IdleCostsNothing', type: 'AWS::Batch::ComputeEnvironment', path: 'ComputeResources.MinvCpus', value: 4 },
    {
      rule: 'VcpuBudget',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.MaxvCpus',
      value: VCPU_BUDGET + 1,
    },
    {
      rule: 'NeighboursTogether',
      type: 'AWS::Batch::ComputeEnvironment',
      path: 'ComputeResources.PlacementGroup',
      value: 'together',
    },
    { rule: 'QueueTimeLimits', type: 'AWS::Batch::JobQueue', path: 'JobStateTimeLimitActions', value: [] },
    {
      rule: 'QueueTimeLimits',
      type: 'AWS::Batch::JobQueue',
      path: 'JobStateTimeLimitActions.0.Reason',
      value: 'because it takes too long',
    },
    { rule: 'JobTimeout', type: 'AWS::Batch::JobDefinition', path: 'Timeout', value: undefined },
    { rule: 'JobRetries', type: 'AWS::Batch::JobDefinition', path: 'RetryStrategy.Attempts', value: 1 },
    {
      rule: 'JobRetries',
      type: 'AWS::Batch::JobDefinition',
      path: 'RetryStrategy.EvaluateOnExit',
      value: [{ Action: 'RETRY', OnStatusReason: 'Host EC2*' }],
    },
    {
      rule: 'JobRetries',
      type: 'AWS::Batch::JobDefinition',
      path: 'RetryStrategy.EvaluateOnExit.4.Action',
      value: 'RETRY',
    },
    {
      rule: 'JobNotPrivileged',
      type: 'AWS::Batch::JobDefinition',
      path: 'ContainerProperties.Privileged',
      value: true,
    },
    {
      rule: 'JobLog',
      type: 'AWS::Batch::JobDefinition',
      path: 'ContainerProperties.LogConfiguration',
      value: undefined,
    },
    {
      rule: 'JobImageDigest',
      type: 'AWS::Batch::JobDefinition',
      path: 'ContainerProperties.Image',
      value: 'trainer:latest',
    },
    {
      rule: 'JobPublicAddress',
      type: 'AWS::Batch::JobDefinition',
      path: 'ContainerProperties.NetworkConfiguration',
      value: { AssignPublicIp: 'ENABLED' },
    },
    { rule: 'SubnetPublicAddress', type: 'AWS::EC2::Subnet', path: 'MapPublicIpOnLaunch', value: true },
    { rule: 'LogRetention', type: 'AWS::Logs::LogGroup', path: 'RetentionInDays', value: undefined },
  ];

  it('are each broken by at least one of the bad examples', () => {
    expect(new Set(BAD.map(({ rule }) => rule))).toEqual(new Set(RULES.map(({ name }) => name)));
  });

  it.each(BAD)('$rule sees $path of $type become $value', ({ rule, type, path, value }) => {
    // The spot GPU environment, not Fargate's, has everything that the rules for machines look at.
    const of = (id: string) => type !== 'AWS::Batch::ComputeEnvironment' || id.startsWith('TrainingGpuFleetSpot');
    const resources = Template.parse({ Resources: good }).Resources;
    const [id, resource] = Object.entries(resources).find(([name, { Type }]) => Type === type && of(name)) ?? [];
    if (id === undefined || resource === undefined) throw new Error(`no ${type}`);
    const Resources = { [id]: { Type: type, Properties: changed(resource.Properties, path.split('.'), value) } };
    expect(brokenRules(Template.parse({ Resources })).map((broken) => broken.rule.name)).toEqual([rule]);
  });

  it('are part of every synthesis', () => {
    expect(new BatchChecks().ruleIds).toEqual(RULES.map(({ name }) => name));
    // A pack without findings leaves no trace in the report; in dev there are two that are acknowledged.
    const names = ALL.find(({ name }) => name === 'dev')?.synthesised.report.pluginReports.map(
      (report) => report.pluginName,
    );
    expect(names).toContain('EdgeClip');
  });
});

/** A copy with one value replaced; undefined takes the key away. */
function changed<T extends object>(of: T, [key = '', ...rest]: string[], value: unknown): T {
  const copy = structuredClone(of);
  const before: unknown = Reflect.get(copy, key);
  const after =
    rest.length === 0 ? value : changed(typeof before === 'object' && before !== null ? before : {}, rest, value);
  if (after === undefined) Reflect.deleteProperty(copy, key);
  else Reflect.set(copy, key, after);
  return copy;
}
