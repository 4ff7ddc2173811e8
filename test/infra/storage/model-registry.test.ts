// Where models are published: to S3 by the role, or to R2 by a key in a secret.
import { describe, expect, it } from 'vitest';
import { settingsOf } from '../../../infra/environments.ts';
import { one, propertiesOf, type Statement, statements, synthesis, synthesise, text } from '../../support/synthesis.ts';

const r2 = synthesis('prod');
const s3 = synthesise({ ...settingsOf('prod'), registry: 's3' });

const environmentOf = ({ templates }: typeof s3, stack: 'training' | 'encoding', prefix: string) => {
  const { Environment } = one(templates[stack], 'AWS::Lambda::Function', prefix).properties;
  if (typeof Environment !== 'object' || Environment === null || !('Variables' in Environment)) return {};
  return Object.fromEntries(Object.entries(Environment.Variables ?? {}).map(([name, value]) => [name, text(value)]));
};
const allowed = (of: typeof s3, holder: string, action: string): string[] =>
  statements(of)
    .filter((statement: Statement) => statement.holder.startsWith(holder) && statement.actions.includes(action))
    .flatMap(({ resources }) => resources);

describe('a registry in S3', () => {
  it('is named to the gate, the publisher and the encoder, and needs no key', () => {
    for (const [stack, prefix] of [
      ['training', 'TrainingControlGate'],
      ['training', 'TrainingControlPublish'],
      ['encoding', 'EncodingFunction'],
    ] as const) {
      const environment = environmentOf(s3, stack, prefix);
      expect(environment.MODEL_REGISTRY).toMatch(/^s3:\/\/<edge-clip-prod-data:PublishOutputRefDataModelsBucket\w+>$/);
      expect(environment).not.toHaveProperty('MODEL_REGISTRY_ENDPOINT');
      expect(environment).not.toHaveProperty('MODEL_REGISTRY_SECRET');
    }
    expect(propertiesOf(s3.templates.data, 'AWS::SecretsManager::Secret')).toEqual({});
  });

  it('is written by the publisher only', () => {
    const writers = statements(s3).filter(
      ({ actions, resources }) => actions.includes('s3:PutObject') && resources.join().includes('ModelsBucket'),
    );
    const identities = writers.filter(({ hasPrincipal }) => !hasPrincipal).map(({ holder }) => holder);
    expect(identities).toEqual([expect.stringMatching(/^TrainingControlPublishRoleDefaultPolicy/)]);
  });

  it('is read by the gate as far as records go: no file of a model', () => {
    const keys = allowed(s3, 'TrainingControlGateRole', 's3:GetObject').filter((key) => key.includes('ModelsBucket'));
    expect(keys.map((resource) => resource.split('>/')[1]).toSorted()).toEqual([
      'manifests/*',
      'models/*',
      'releases/*',
    ]);
  });

  it('is written by the publisher below four prefixes', () => {
    const keys = allowed(s3, 'TrainingControlPublishRole', 's3:PutObject').map((resource) => resource.split('>/')[1]);
    expect(keys.toSorted()).toEqual(['artefacts/*', 'manifests/*', 'models/*', 'releases/*']);
  });

  it('is read by the encoder, pointers, releases, manifests and files alike, beside the uploads', () => {
    const keys = allowed(s3, 'EncodingRole', 's3:GetObject').map((resource) => resource.split('>/')[1]);
    expect(keys.toSorted()).toEqual(['artefacts/*', 'manifests/*', 'models/*', 'releases/*', 'uploads/*']);
  });
});

/** Where `npm run model -- … --on aws` goes. */
const outputsOf = ({ templates }: typeof s3) =>
  Object.entries(templates.data.Outputs)
    .filter(([name]) => name.startsWith('Registry'))
    .map(([name, { Value }]) => `${name} ${text(Value)}`)
    .toSorted();

describe('the outputs of the data stack', () => {
  it('say where models are published to, as the pipeline is told', () => {
    expect(outputsOf(s3)).toEqual([expect.stringMatching(/^Registry s3:\/\/<DataModelsBucket\w+>$/)]);
    expect(outputsOf(r2)).toEqual([
      'Registry s3://<RegistryBucket>',
      'RegistryEndpoint https://<RegistryAccountId>.r2.cloudflarestorage.com',
      expect.stringMatching(/^RegistrySecret <DataRegistrySecret\w+>$/),
    ]);
  });
});

describe('a registry in R2', () => {
  it('is named with its endpoint and the secret that opens it', () => {
    expect(environmentOf(r2, 'training', 'TrainingControlPublish')).toMatchObject({
      MODEL_REGISTRY: expect.stringMatching(/^s3:\/\/<edge-clip-prod-data:PublishOutputRefRegistryBucket\w+>$/),
      MODEL_REGISTRY_ENDPOINT: expect.stringMatching(
        /^https:\/\/<edge-clip-prod-data:PublishOutputRefRegistryAccountId\w+>\.r2\.cloudflarestorage\.com$/,
      ),
      MODEL_REGISTRY_SECRET: expect.stringContaining('DataRegistrySecret'),
    });
  });

  it('is opened by a secret without a key in the template, and kept', () => {
    const { id, properties } = one(r2.templates.data, 'AWS::SecretsManager::Secret');
    expect(properties.SecretString).toBeUndefined();
    expect(properties.GenerateSecretString).toEqual({
      SecretStringTemplate: '{"access_key_id":""}',
      GenerateStringKey: 'secret_access_key',
    });
    expect(r2.templates.data.Resources[id]?.DeletionPolicy).toBe('Retain');
  });

  it('gives the publisher the secret and nothing in the models bucket', () => {
    expect(allowed(r2, 'TrainingControlPublishRole', 'secretsmanager:GetSecretValue')).toEqual([
      expect.stringContaining('DataRegistrySecret'),
    ]);
    expect(allowed(r2, 'TrainingControlPublishRole', 's3:PutObject')).toEqual([]);
  });
});
