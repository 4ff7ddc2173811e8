// Rules across all stacks: names, tags, outputs, data that a deployment must never replace, and that settings can be changed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLOUD_OUTPUTS } from '../../contracts/src/outputs.ts';
import type { Settings } from '../../infra/base/settings.ts';
import { settingsOf } from '../../infra/environments.ts';
import {
  GPU_ENCODER,
  GPU_SHARDS,
  one,
  propertiesOf,
  STACKS,
  type Synthesis,
  synthesis,
  synthesise,
  text,
} from '../support/synthesis.ts';

/** Properties by which a resource of a type would get a name of ours, which CloudFormation then cannot replace. */
const NAMES: Record<string, string[]> = {
  'AWS::Batch::ComputeEnvironment': ['ComputeEnvironmentName'],
  'AWS::Batch::JobDefinition': ['JobDefinitionName'],
  'AWS::Batch::JobQueue': ['JobQueueName'],
  'AWS::DynamoDB::Table': ['TableName'],
  'AWS::EC2::LaunchTemplate': ['LaunchTemplateName'],
  'AWS::EC2::SecurityGroup': ['GroupName'],
  'AWS::ECR::Repository': ['RepositoryName'],
  'AWS::IAM::InstanceProfile': ['InstanceProfileName'],
  'AWS::IAM::ManagedPolicy': ['ManagedPolicyName'],
  'AWS::IAM::Role': ['RoleName'],
  'AWS::KMS::Alias': ['AliasName'],
  'AWS::Lambda::CapacityProvider': ['CapacityProviderName'],
  'AWS::Lambda::Function': ['FunctionName'],
  'AWS::Logs::LogGroup': ['LogGroupName'],
  'AWS::S3::Bucket': ['BucketName'],
  'AWS::SNS::Topic': ['TopicName'],
  'AWS::SQS::Queue': ['QueueName'],
  'AWS::Scheduler::Schedule': ['Name', 'GroupName'],
  'AWS::SecretsManager::Secret': ['Name'],
  'AWS::StepFunctions::StateMachine': ['StateMachineName'],
};
const STATEFUL = new Set([
  'AWS::DynamoDB::Table',
  'AWS::ECR::Repository',
  'AWS::KMS::Key',
  'AWS::S3::Bucket',
  'AWS::SecretsManager::Secret',
]);

describe.each(['dev', 'prod'] as const)('the stacks of %s', (environment) => {
  const { templates } = synthesis(environment);
  const resources = STACKS.flatMap((stack) => Object.entries(templates[stack].Resources));

  it('give no resource a name, but for the log of the state machine, whose prefix spares a policy of the account', () => {
    const named = resources.flatMap(([id, { Type, Properties }]) =>
      (NAMES[Type] ?? []).filter((name) => name in Properties).map((name) => `${id}.${name}`),
    );
    expect(named).toEqual([expect.stringMatching(/^TrainingPipelineLogs\w+\.LogGroupName$/)]);
    const { properties } = one(templates.training, 'AWS::Logs::LogGroup', 'TrainingPipelineLogs');
    expect(text(properties.LogGroupName)).toMatch(/^\/aws\/vendedlogs\/states\/<AWS::StackName>-<AWS::StackId>\[2\]$/);
  });

  it('are for any account and region: no zone, account or address is written down', () => {
    for (const stack of STACKS) {
      // The twelve hexadecimal digits that name a stage's code may look like an account.
      const json = JSON.stringify(templates[stack], (key, value) => (key === 'StageCode' ? undefined : value));
      expect(json).not.toMatch(/dummy|\b\d{12}\b|\b(us|eu|ap)-[a-z]+-\d[a-z]?\b/);
    }
  });

  it('keep data out of the stacks that are made anew', () => {
    for (const stack of ['network', 'training', 'encoding'] as const)
      expect(Object.values(templates[stack].Resources).filter(({ Type }) => STATEFUL.has(Type))).toEqual([]);
  });

  it('carry project and environment on everything that takes tags', () => {
    const asList = [
      { Key: 'environment', Value: environment },
      { Key: 'project', Value: 'edge-clip' },
    ];
    for (const [id, { Type, Properties }] of resources) {
      if (Array.isArray(Properties.Tags)) expect(Properties.Tags, id).toEqual(expect.arrayContaining(asList));
      else if (Properties.Tags !== undefined)
        expect(Properties.Tags, id).toEqual({ environment, project: 'edge-clip' });
      else
        expect(
          [
            'AWS::Batch::ComputeEnvironment',
            'AWS::Batch::JobDefinition',
            'AWS::Batch::JobQueue',
            'AWS::DynamoDB::Table',
            'AWS::ECR::Repository',
            'AWS::IAM::Role',
            'AWS::KMS::Key',
            'AWS::Lambda::Function',
            'AWS::Logs::LogGroup',
            'AWS::S3::Bucket',
            'AWS::SNS::Topic',
            'AWS::SQS::Queue',
            'AWS::StepFunctions::StateMachine',
          ],
          `${id} has no tags`,
        ).not.toContain(Type);
    }
  });

  it('give every output that the command line reads, by exactly this name', () => {
    const outputs = STACKS.flatMap((stack) => Object.keys(templates[stack].Outputs));
    expect(outputs).toEqual(expect.arrayContaining(Object.values(CLOUD_OUTPUTS)));
    const { Outputs } = templates.training;
    expect(text(Outputs.QueueGpu?.Value)).toMatch(/^<TrainingGpuFleetQueue\w+\.JobQueueArn>$/);
    expect(text(Outputs.JobDefinitionTrain?.Value)).toMatch(/^<TrainingJobsTrain\w+>$/);
    expect(text(Outputs.TrainingLogs?.Value)).toMatch(/^<TrainingLogs\w+>$/);
    expect(text(Outputs.StateMachine?.Value)).toMatch(/^<TrainingPipelineStateMachine\w+>$/);
    expect(text(templates.encoding.Outputs.EncoderUrl?.Value)).toMatch(/^<EncodingFunction\w+\.FunctionUrl>$/);
  });

  it('know the logical names of everything that holds data: another name would replace it, and lose it', () => {
    const baseline: unknown = JSON.parse(readFileSync(join(import.meta.dirname, 'stateful-baseline.json'), 'utf8'));
    const found = Object.entries(templates.data.Resources).filter(([, { Type }]) => STATEFUL.has(Type));
    expect(Object.fromEntries(found.map(([id, { Type }]) => [id, Type]))).toEqual(baseline);
  });

  it('keep every log for a stated time', () => {
    const groups = STACKS.flatMap((stack) => Object.entries(propertiesOf(templates[stack], 'AWS::Logs::LogGroup')));
    expect(groups).toHaveLength(10);
    for (const [id, properties] of groups)
      expect(properties.RetentionInDays, id).toBe(environment === 'dev' ? 14 : 365);
  });
});

describe('data', () => {
  it('survives its stack in prod, which cannot be deleted, and goes with it in dev', () => {
    const policies = (environment: 'dev' | 'prod') =>
      new Set(
        Object.values(synthesis(environment).templates.data.Resources)
          .filter(({ Type }) => STATEFUL.has(Type))
          .map(({ DeletionPolicy }) => DeletionPolicy),
      );
    expect(policies('prod')).toEqual(new Set(['Retain']));
    expect(policies('dev')).toEqual(new Set(['Delete']));
    const isProtected = (environment: 'dev' | 'prod') =>
      synthesis(environment)
        .app.node.children.flatMap((child) => ('terminationProtection' in child ? [child] : []))
        .filter(({ terminationProtection }) => terminationProtection)
        .map(({ node }) => node.id);
    expect(isProtected('prod')).toEqual(['edge-clip-prod-data']);
    expect(isProtected('dev')).toEqual([]);
  });
});

interface Choice {
  environment: 'dev' | 'prod';
  registry: Settings['registry'];
  network: Settings['network'];
  gpu: Settings['encoder']['gpu'];
}
const EVERY_CHOICE: Choice[] = (['dev', 'prod'] as const).flatMap((environment) =>
  (['r2', 's3'] as const).flatMap((registry) =>
    (['nat', 'public'] as const).map((network) => ({ environment, registry, network, gpu: null })),
  ),
);
const CHOICES: Choice[] = [...EVERY_CHOICE, { environment: 'prod', registry: 'r2', network: 'nat', gpu: GPU_ENCODER }];
const nameOf = ({ environment, registry, network, gpu }: Choice) =>
  `${environment}, ${registry}, ${network}, ${gpu === null ? 'no GPU' : 'a GPU'}`;
const NAMED = CHOICES.map((choice) => ({ name: nameOf(choice), choice }));

/** Values of a key, wherever in a template it is. */
function valuesOf(value: unknown, key: string): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => (name === key ? [inner] : valuesOf(inner, key)));
}

const deployed = new Map<string, Synthesis>(
  CHOICES.map((choice) => {
    const { encoder, bulk, ...others } = settingsOf(choice.environment);
    const { registry, network, gpu } = choice;
    const shards = gpu === null ? null : GPU_SHARDS;
    const settings: Settings = {
      ...others,
      registry,
      network,
      encoder: { ...encoder, gpu },
      bulk: { ...bulk, gpu: shards },
    };
    return [nameOf(choice), synthesise(settings)];
  }),
);
const templatesOf = (choice: Choice) => {
  const found = deployed.get(nameOf(choice));
  if (found === undefined) throw new Error(`not synthesised: ${nameOf(choice)}`);
  return found.templates;
};

describe('a change of the settings', () => {
  it.each(NAMED)('from $name to any other removes no export that is imported', ({ choice: before }) => {
    const imported = STACKS.flatMap((stack) => valuesOf(templatesOf(before)[stack], 'Fn::ImportValue'));
    const after = CHOICES.filter(({ environment }) => environment === before.environment);
    for (const choice of after) {
      const exported = STACKS.flatMap((stack) => valuesOf(templatesOf(choice)[stack].Outputs, 'Export'));
      const removed = imported.filter((name) => !JSON.stringify(exported).includes(JSON.stringify(name)));
      expect(removed, nameOf(choice)).toEqual([]);
    }
  });

  it.each(NAMED)('in $name every output that a stack reads is there', ({ choice }) => {
    const templates = templatesOf(choice);
    const read = STACKS.flatMap((stack) => valuesOf(templates[stack], 'Fn::GetStackOutput'));
    expect(read.length).toBeGreaterThan(20);
    const outputs = Object.fromEntries(
      STACKS.map((stack) => [`edge-clip-${choice.environment}-${stack}`, templates[stack].Outputs]),
    );
    for (const reference of read) {
      const { StackName, OutputName } = reference as { StackName: string; OutputName: string };
      expect(outputs[StackName], StackName).toHaveProperty(OutputName);
    }
  });

  it('keeps the logical names of what holds data, whichever registry and network', () => {
    for (const choice of CHOICES) {
      const kept = CHOICES.filter(
        ({ environment, registry }) => environment === choice.environment && registry === choice.registry,
      ).map((other) => Object.keys(templatesOf(other).data.Resources).toSorted());
      for (const names of kept) expect(names).toEqual(kept[0]);
    }
  });

  it('of the number of zones moves no subnet that there is', () => {
    const blocks = (zones: number) =>
      Object.entries(synthesise({ ...settingsOf('prod'), zones }).templates.network.Resources)
        .filter(([, { Type }]) => Type === 'AWS::EC2::Subnet')
        .map(([id, { Properties }]) => [id, Properties.CidrBlock] as const);
    const more = new Map(blocks(5));
    for (const [id, block] of blocks(2)) expect(more.get(id), id).toBe(block);
  });
});
