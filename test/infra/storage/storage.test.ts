// Storage: private, encrypted, versioned, and brought back where it must be.
import { describe, expect, it } from 'vitest';
import { one, propertiesOf, statements, synthesis } from '../../support/synthesis.ts';

describe.each(['dev', 'prod'] as const)('the data of %s', (environment) => {
  const synthesised = synthesis(environment);
  const { data } = synthesised.templates;
  const buckets = propertiesOf(data, 'AWS::S3::Bucket');

  it('is public in no bucket', () => {
    expect(Object.keys(buckets)).toHaveLength(4);
    for (const [id, { PublicAccessBlockConfiguration }] of Object.entries(buckets))
      expect(PublicAccessBlockConfiguration, id).toEqual({
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      });
  });

  it('is refused over anything but TLS', () => {
    for (const id of Object.keys(buckets)) {
      const denied = statements(synthesised).filter(
        ({ effect, resources }) => effect === 'Deny' && resources.includes(`<${id}.Arn>`),
      );
      expect(denied, id).toEqual([
        expect.objectContaining({
          actions: ['s3:*'],
          resources: [`<${id}.Arn>`, `<${id}.Arn>/*`],
          condition: { Bool: { 'aws:SecureTransport': 'false' } },
        }),
      ]);
    }
  });

  it.each(['TrainingBucket', 'ModelsBucket', 'JobsBucket'])(
    '%s is versioned, logged and encrypted with our key',
    (name) => {
      const { properties } = one(data, 'AWS::S3::Bucket', `Data${name}`);
      expect(properties.VersioningConfiguration).toEqual({ Status: 'Enabled' });
      expect(properties.BucketEncryption).toEqual({
        ServerSideEncryptionConfiguration: [
          {
            BucketKeyEnabled: true,
            ServerSideEncryptionByDefault: {
              SSEAlgorithm: 'aws:kms',
              KMSMasterKeyID: { 'Fn::GetAtt': ['DataKey5F086070', 'Arn'] },
            },
          },
        ],
      });
      expect(properties.LoggingConfiguration).toEqual({
        DestinationBucketName: { Ref: 'DataAccessLogsC0C25EE4' },
        LogFilePrefix: `${name}/`,
      });
      expect(properties.LifecycleConfiguration).toMatchObject({
        Rules: expect.arrayContaining([
          { Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 } },
          { Status: 'Enabled', NoncurrentVersionExpiration: { NoncurrentDays: environment === 'dev' ? 7 : 30 } },
        ]),
      });
    },
  );

  it('forgets overwritten checkpoints after two weeks', () => {
    const { properties } = one(data, 'AWS::S3::Bucket', 'DataTrainingBucket');
    expect(properties.LifecycleConfiguration).toMatchObject({
      Rules: expect.arrayContaining([
        { Status: 'Enabled', Prefix: 'runs/', NoncurrentVersionExpiration: { NoncurrentDays: 14 } },
      ]),
    });
  });

  it('is encrypted with a key that changes every year', () => {
    expect(one(data, 'AWS::KMS::Key').properties.EnableKeyRotation).toBe(true);
  });

  it('keeps images under tags that cannot move, scanned, and only the last ones', () => {
    const repositories = Object.values(propertiesOf(data, 'AWS::ECR::Repository'));
    expect(repositories).toHaveLength(2);
    for (const { ImageTagMutability, ImageScanningConfiguration, LifecyclePolicy } of repositories) {
      expect(ImageTagMutability).toBe('IMMUTABLE');
      expect(ImageScanningConfiguration).toEqual({ ScanOnPush: true });
      expect(LifecyclePolicy).toEqual({
        LifecyclePolicyText: expect.stringContaining(`"countNumber":${environment === 'dev' ? 5 : 20}`),
      });
    }
  });

  it('records runs in a table that is paid by use, encrypted and can be brought back', () => {
    const { properties } = one(data, 'AWS::DynamoDB::Table');
    expect(properties).toMatchObject({
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'S' },
      ],
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      SSESpecification: { SSEEnabled: true },
      DeletionProtectionEnabled: environment === 'prod',
    });
  });

  it('lets the account alone administer the key; alarms and budgets may publish with it, for this account only', () => {
    const { id } = one(data, 'AWS::KMS::Key');
    const policy = statements(synthesised).filter(({ holder }) => holder === id);
    expect(policy.map(({ actions, condition }) => [actions, condition])).toEqual([
      [['kms:*'], undefined],
      [['kms:Decrypt', 'kms:GenerateDataKey'], { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } }],
    ]);
    const services = JSON.stringify(one(data, 'AWS::KMS::Key').properties.KeyPolicy).match(/[\w.]+\.amazonaws\.com/g);
    expect(services).toEqual(['budgets.amazonaws.com', 'cloudwatch.amazonaws.com']);
  });
});
