// What must survive every deployment: the key, the buckets, the images, the table of runs. Who may do what with them is
// said here too, because the owner of a thing grants access to it.
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { FILES, keyPattern, listPrefix } from '../../contracts/src/keys.ts';
import type { Settings } from '../environments.ts';
import { allow, listBelow } from '../rules/allow.ts';
import { ModelRegistry } from './model-registry.ts';

const [DATA, REQUESTS, RUNS] = [keyPattern('data'), keyPattern('requests'), keyPattern('runs')];

export class Data extends Construct {
  readonly key: kms.Key;
  readonly trainingBucket: s3.Bucket;
  readonly modelsBucket: s3.Bucket;
  readonly registry: ModelRegistry;
  readonly trainerImages: ecr.Repository;
  readonly encoderImages: ecr.Repository;
  /** Locks and the record of runs, by recipe. */
  readonly runs: dynamodb.Table;

  constructor(scope: Construct, id: string, { settings }: { settings: Settings }) {
    super(scope, id);
    // In dev a bucket that still holds something refuses to go; emptying it is left to the person who deletes the stack.
    const removalPolicy = settings.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
    this.key = new kms.Key(this, 'Key', {
      description: 'edge-clip: data, runs, models and notifications at rest',
      enableKeyRotation: true,
      removalPolicy,
    });

    const accessLogs = new s3.Bucket(this, 'AccessLogs', {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      // S3 cannot deliver access logs to a bucket whose default key is a customer's.
      encryption: s3.BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      lifecycleRules: [{ expiration: Duration.days(settings.log_days) }],
      removalPolicy,
    });
    const bucket = (name: string, lifecycleRules: s3.LifecycleRule[]) =>
      new s3.Bucket(this, name, {
        blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
        encryption: s3.BucketEncryption.KMS,
        encryptionKey: this.key,
        // One key request for many objects: without it every shard that is read costs a call to KMS.
        bucketKeyEnabled: true,
        enforceSSL: true,
        versioned: true,
        serverAccessLogsBucket: accessLogs,
        serverAccessLogsPrefix: `${name}/`,
        lifecycleRules: [
          { abortIncompleteMultipartUploadAfter: Duration.days(7) },
          { noncurrentVersionExpiration: Duration.days(settings.noncurrent_days) },
          ...lifecycleRules,
        ],
        removalPolicy,
      });
    // A checkpoint overwrites the one before it, gigabytes at a time.
    const checkpoints = {
      prefix: listPrefix('runs'),
      noncurrentVersionExpiration: Duration.days(CHECKPOINT_VERSION_DAYS),
    };
    this.trainingBucket = bucket('TrainingBucket', [checkpoints]);
    this.modelsBucket = bucket('ModelsBucket', []);
    this.registry = new ModelRegistry(this, 'Registry', { settings, bucket: this.modelsBucket, key: this.key });

    const images = (name: string) =>
      new ecr.Repository(this, name, {
        imageTagMutability: ecr.TagMutability.IMMUTABLE,
        imageScanOnPush: true,
        lifecycleRules: [{ maxImageCount: settings.images_kept }],
        emptyOnDelete: !settings.retain,
        removalPolicy,
      });
    this.trainerImages = images('TrainerImages');
    this.encoderImages = images('EncoderImages');

    this.runs = new dynamodb.Table(this, 'Runs', {
      partitionKey: { name: 'pk', type: dynamodb.AttributeType.STRING },
      sortKey: { name: 'sk', type: dynamodb.AttributeType.STRING },
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      // Decisions and names, nothing of the users': a key of our own would only add a permission to every writer.
      encryption: dynamodb.TableEncryption.AWS_MANAGED,
      deletionProtection: settings.retain,
      removalPolicy,
    });
  }

  /** A training container: reads data and runs, writes runs. Data is never written by a job. */
  grantTrain(grantee: iam.IGrantable): void {
    this.allowObjects(grantee, ['s3:GetObject'], [DATA, RUNS]);
    // Deleting: checkpoints that a newer one replaced. Their versions stay for the days that the bucket keeps them.
    this.allowObjects(grantee, ['s3:PutObject', 's3:AbortMultipartUpload', 's3:DeleteObject'], [RUNS]);
    this.allowList(grantee, [DATA, RUNS]);
    allow(grantee, ['kms:Decrypt', 'kms:GenerateDataKey'], [this.key.keyArn]);
  }

  /** The planner: reads what was asked for and what is finished, writes what each job is told. */
  grantPlan(grantee: iam.IGrantable): void {
    this.allowObjects(grantee, ['s3:GetObject'], [REQUESTS, keyPattern('data', FILES.dataIndex), RUNS]);
    this.allowObjects(grantee, ['s3:PutObject'], [keyPattern('runs', FILES.job)]);
    this.allowList(grantee, [REQUESTS, RUNS]);
    allow(grantee, ['kms:Decrypt', 'kms:GenerateDataKey'], [this.key.keyArn]);
  }

  /** The gate and the publisher: read what the jobs left. */
  grantReadRuns(grantee: iam.IGrantable): void {
    this.allowObjects(grantee, ['s3:GetObject'], [RUNS]);
    this.allowList(grantee, [RUNS]);
    allow(grantee, ['kms:Decrypt'], [this.key.keyArn]);
  }

  /** The pipeline: takes and releases locks, records runs. */
  grantRecord(grantee: iam.IGrantable): void {
    allow(grantee, ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'], [this.runs.tableArn]);
  }

  private allowObjects(grantee: iam.IGrantable, actions: string[], keys: string[]): void {
    allow(
      grantee,
      actions,
      keys.map((key) => this.trainingBucket.arnForObjects(key)),
    );
  }

  private allowList(grantee: iam.IGrantable, prefixes: string[]): void {
    allow(grantee, ['s3:ListBucket'], [this.trainingBucket.bucketArn], listBelow(prefixes));
  }
}

const CHECKPOINT_VERSION_DAYS = 14;
