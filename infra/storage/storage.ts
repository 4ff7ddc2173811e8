// Storage that must survive every deployment: the key, the buckets, the images, the table of runs. Their grants are
// methods here, because the owner of a resource grants access to it.
import { Duration } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { FILES, keyPattern, listPrefix } from '../../contracts/src/keys.ts';
import { grantActions, listBelow } from '../base/grants.ts';
import { removalPolicyOf } from '../base/retention.ts';
import { hasGpuEncoder, type Settings } from '../base/settings.ts';
import { FOR_THIS_ACCOUNT, principalsOf } from '../base/topic.ts';
import { ImageBuilds } from './image-builds.ts';
import { ModelRegistry } from './model-registry.ts';

const [DATA, REQUESTS, RUNS] = [keyPattern('data'), keyPattern('requests'), keyPattern('runs')];
const [UPLOADS, JOBS, JOB_INPUTS] = [keyPattern('uploads'), keyPattern('jobs'), keyPattern('jobInputs')];
/** What says which data is current. */
const DATASETS = keyPattern('datasets', FILES.pointer);

/** A checkpoint overwrites the one before it, gigabytes at a time: old versions of runs go sooner than those of data. */
const CHECKPOINT_VERSION_DAYS = 14;
/** Source that images were built from. */
const SOURCE_DAYS = 30;
/** An upload that was given up is billed until it is removed. */
const INCOMPLETE_UPLOAD_DAYS = 7;

export interface StorageProps {
  /** Read here: retention, kept images, and where models are published. */
  settings: Settings;
}

export class Storage extends Construct {
  readonly key: kms.Key;
  readonly trainingBucket: s3.Bucket;
  readonly modelsBucket: s3.Bucket;
  /** What is sent to be embedded in bulk, and what comes of it: both go after some days. */
  readonly jobsBucket: s3.Bucket;
  readonly registry: ModelRegistry;
  readonly trainerImages: ecr.Repository;
  readonly encoderImages: ecr.Repository;
  readonly imageBuilds: ImageBuilds;
  /** Locks and the record of runs, by recipe. */
  readonly runs: dynamodb.Table;

  constructor(scope: Construct, id: string, { settings }: StorageProps) {
    super(scope, id);
    // In dev, CloudFormation cannot delete a bucket that is not empty; `npm run deploy -- destroy` empties them first.
    const removalPolicy = removalPolicyOf(settings);
    this.key = new kms.Key(this, 'Key', {
      description: 'edge-clip: data, runs, models and notifications at rest',
      enableKeyRotation: true,
      removalPolicy,
    });
    // What they publish is encrypted on the way into a topic.
    this.key.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: principalsOf(['budgets', 'cloudwatch']),
        actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
        resources: ['*'],
        conditions: FOR_THIS_ACCOUNT,
      }),
    );

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
          { abortIncompleteMultipartUploadAfter: Duration.days(INCOMPLETE_UPLOAD_DAYS) },
          { noncurrentVersionExpiration: Duration.days(settings.noncurrent_days) },
          ...lifecycleRules,
        ],
        removalPolicy,
      });
    const checkpoints = {
      prefix: listPrefix('runs'),
      noncurrentVersionExpiration: Duration.days(CHECKPOINT_VERSION_DAYS),
    };
    // Source is stored again by the next deployment that needs it.
    const sources = { prefix: listPrefix('sources'), expiration: Duration.days(SOURCE_DAYS) };
    this.trainingBucket = bucket('TrainingBucket', [checkpoints, sources]);
    sendEvents(this.trainingBucket);
    this.modelsBucket = bucket('ModelsBucket', []);
    const expiring = (prefix: 'uploads' | 'jobs' | 'jobInputs', days: number) => ({
      prefix: listPrefix(prefix),
      expiration: Duration.days(days),
      // What has expired or was deleted must not come back: people's own pictures are among it.
      noncurrentVersionExpiration: Duration.days(1),
    });
    this.jobsBucket = bucket('JobsBucket', [
      expiring('uploads', settings.bulk.upload_days),
      expiring('jobs', settings.bulk.output_days),
      expiring('jobInputs', settings.bulk.output_days),
    ]);
    this.registry = new ModelRegistry(this, 'Registry', { settings, bucket: this.modelsBucket, key: this.key });

    const images = (name: string, kinds: number) =>
      new ecr.Repository(this, name, {
        imageTagMutability: ecr.TagMutability.IMMUTABLE,
        imageScanOnPush: true,
        lifecycleRules: [{ maxImageCount: kinds * settings.images_kept }],
        emptyOnDelete: !settings.retain,
        removalPolicy,
      });
    this.trainerImages = images('TrainerImages', 1);
    // The image for machines with a GPU is stored beside the other: each deployment pushes both.
    this.encoderImages = images('EncoderImages', hasGpuEncoder(settings) ? 2 : 1);
    this.imageBuilds = new ImageBuilds(this, 'ImageBuilds', {
      settings,
      bucket: this.trainingBucket,
      key: this.key,
      repositories: [this.trainerImages, this.encoderImages],
    });

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

  /** For a training container: reads data and runs, writes runs. Data is never written by a job. */
  grantTrain(grantee: iam.IGrantable): void {
    this.grantObjects(grantee, ['s3:GetObject'], [DATA, RUNS]);
    // DeleteObject: checkpoints that a newer one replaced. Their versions stay as long as the bucket keeps them.
    this.grantObjects(grantee, ['s3:PutObject', 's3:AbortMultipartUpload', 's3:DeleteObject'], [RUNS]);
    this.grantList(grantee, [DATA, RUNS]);
    grantActions(grantee, { actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [this.key.keyArn] });
  }

  /** For a shard of a bulk job: reads what was sent and the jobs, writes jobs. */
  grantBulk(grantee: iam.IGrantable): void {
    this.grantJobs(grantee, ['s3:GetObject'], [UPLOADS, JOBS, JOB_INPUTS]);
    this.grantJobs(grantee, ['s3:PutObject', 's3:AbortMultipartUpload'], [JOBS]);
    this.grantListJobs(grantee);
  }

  /** For the image encoder: reads files that were too large to be sent to it in a call. */
  grantReadUploads(grantee: iam.IGrantable): void {
    this.grantJobs(grantee, ['s3:GetObject'], [UPLOADS]);
    grantActions(grantee, { actions: ['kms:Decrypt'], resources: [this.key.keyArn] });
  }

  /** For the Worker: takes what is sent, begins jobs, reads how they are and what came of them, deletes what is no longer wanted. */
  grantWorker(grantee: iam.IGrantable): void {
    const actions = ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload', 's3:DeleteObject'];
    this.grantJobs(grantee, actions, [UPLOADS, JOBS, JOB_INPUTS]);
    this.grantListJobs(grantee);
  }

  /** For the planner: reads requests, pointers of data and finished runs, writes the job document of each run. */
  grantPlan(grantee: iam.IGrantable): void {
    this.grantObjects(grantee, ['s3:GetObject'], [REQUESTS, DATASETS, RUNS]);
    this.grantObjects(grantee, ['s3:PutObject'], [keyPattern('runs', FILES.job)]);
    this.grantList(grantee, [REQUESTS, DATASETS, RUNS]);
    grantActions(grantee, { actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [this.key.keyArn] });
  }

  /** For the gate and the publisher: reads finished runs. */
  grantReadRuns(grantee: iam.IGrantable): void {
    this.grantObjects(grantee, ['s3:GetObject'], [RUNS]);
    this.grantList(grantee, [RUNS]);
    grantActions(grantee, { actions: ['kms:Decrypt'], resources: [this.key.keyArn] });
  }

  /** For the pipeline: takes and releases locks, records runs. */
  grantRecord(grantee: iam.IGrantable): void {
    grantActions(grantee, {
      actions: ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'],
      resources: [this.runs.tableArn],
    });
  }

  private grantJobs(grantee: iam.IGrantable, actions: string[], keys: string[]): void {
    grantActions(grantee, { actions, resources: keys.map((key) => this.jobsBucket.arnForObjects(key)) });
  }

  private grantListJobs(grantee: iam.IGrantable): void {
    const conditions = listBelow([UPLOADS, JOBS, JOB_INPUTS]);
    grantActions(grantee, { actions: ['s3:ListBucket'], resources: [this.jobsBucket.bucketArn], conditions });
    grantActions(grantee, { actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [this.key.keyArn] });
  }

  private grantObjects(grantee: iam.IGrantable, actions: string[], keys: string[]): void {
    grantActions(grantee, { actions, resources: keys.map((key) => this.trainingBucket.arnForObjects(key)) });
  }

  private grantList(grantee: iam.IGrantable, prefixes: string[]): void {
    grantActions(grantee, {
      actions: ['s3:ListBucket'],
      resources: [this.trainingBucket.bucketArn],
      conditions: listBelow(prefixes),
    });
  }
}

/**
 * EventBridge hears of the bucket's new objects. Of the template itself: the library's own way is a function with a role of
 * wildcards that sets the same property.
 */
function sendEvents(bucket: s3.Bucket): void {
  const { defaultChild } = bucket.node;
  if (!(defaultChild instanceof s3.CfnBucket)) throw new TypeError('a bucket without its resource');
  defaultChild.notificationConfiguration = { eventBridgeConfiguration: { eventBridgeEnabled: true } };
}
