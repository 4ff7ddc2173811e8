// The image encoder, its address and who may call it.
import { describe, expect, it } from 'vitest';
import { settingsOf } from '../../../infra/environments.ts';
import { one, propertiesOf, record, statements, synthesis, synthesise, text } from '../../support/synthesis.ts';

describe.each(['dev', 'prod'] as const)('the image encoder of %s', (environment) => {
  const synthesised = synthesis(environment);
  const { encoding } = synthesised.templates;
  const { id, properties } = one(encoding, 'AWS::Lambda::Function');

  it('is a container on arm64, named by the digest given at deployment', () => {
    expect(properties).toMatchObject({ PackageType: 'Image', Architectures: ['arm64'], MemorySize: 3008, Timeout: 60 });
    expect(text(record(properties.Code).ImageUri)).toMatch(
      /\.dkr\.ecr\..*EncoderImages\w+>@sha256:<EncoderImageDigest>$/,
    );
    expect(encoding.Parameters.EncoderImageDigest).toMatchObject({ Type: 'String', AllowedPattern: '^[0-9a-f]{64}$' });
    expect(encoding.Parameters.EncoderImageDigest).not.toHaveProperty('Default');
  });

  it('is bounded: as many calls at a time as are reserved, unless the account is too new to reserve any', () => {
    expect(properties.ReservedConcurrentExecutions).toEqual({
      'Fn::If': [expect.stringContaining('IsReserved'), environment === 'dev' ? 2 : 10, { Ref: 'AWS::NoValue' }],
    });
    expect(encoding.Parameters.EncoderReservation).toMatchObject({
      Default: 'setting',
      AllowedPattern: '^(setting|account)$',
    });
  });

  it('answers nobody who does not sign', () => {
    const { properties: url } = one(encoding, 'AWS::Lambda::Url');
    expect(url.AuthType).toBe('AWS_IAM');
    expect(url.Cors).toBeUndefined();
    expect(propertiesOf(encoding, 'AWS::Lambda::Permission')).toEqual({});
  });

  it('is called by the Worker with exactly the two permissions that a URL asks for', () => {
    const access = one(encoding, 'AWS::IAM::ManagedPolicy');
    expect(access.properties).not.toHaveProperty('Users');
    expect(access.properties).not.toHaveProperty('Roles');
    const granted = statements(synthesised).filter(
      ({ holder, actions }) => holder === access.id && actions.some((action) => action.startsWith('lambda:')),
    );
    expect(
      granted.map(({ effect, actions, resources, condition }) => ({ effect, actions, resources, condition })),
    ).toEqual([
      {
        effect: 'Allow',
        actions: ['lambda:InvokeFunctionUrl'],
        resources: [`<${id}.Arn>`],
        condition: { StringEquals: { 'lambda:FunctionUrlAuthType': 'AWS_IAM' } },
      },
      {
        effect: 'Allow',
        actions: ['lambda:InvokeFunction'],
        resources: [`<${id}.Arn>`],
        condition: { Bool: { 'lambda:InvokedViaFunctionUrl': true } },
      },
    ]);
  });

  it('holds no credential and makes no identity for one', () => {
    for (const type of ['AWS::IAM::AccessKey', 'AWS::IAM::User']) expect(propertiesOf(encoding, type)).toEqual({});
  });
});

describe('the model that the image encoder serves', () => {
  it('is the embedded one unless the settings name another', () => {
    const nameIn = (synthesised: ReturnType<typeof synthesis>) =>
      record(record(one(synthesised.templates.encoding, 'AWS::Lambda::Function').properties.Environment).Variables)
        .MODEL_NAME;
    expect(nameIn(synthesis('dev'))).toBeUndefined();
    const encoder = { reserved_concurrency: 2, model_name: 'clip-large', gpu: null };
    expect(nameIn(synthesise({ ...settingsOf('dev'), encoder }))).toBe('clip-large');
  });
});
