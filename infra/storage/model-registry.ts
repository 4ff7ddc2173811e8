// Where published models are: the models bucket, or an R2 bucket reached with a key that a secret holds.
import { RemovalPolicy } from 'aws-cdk-lib';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { keyPattern } from '../../contracts/src/keys.ts';
import type { Settings } from '../environments.ts';
import { accept } from '../rules/accept.ts';
import { allow, listBelow } from '../rules/allow.ts';

const POINTERS = keyPattern('models');
/** What says which model is current and what it was measured at, without the files themselves. */
const RECORDS = [POINTERS, keyPattern('manifests'), keyPattern('releases')];
const EVERYTHING = [...RECORDS, keyPattern('artefacts')];

export interface ModelRegistryProps {
  settings: Settings;
  bucket: s3.Bucket;
  key: kms.Key;
}

export class ModelRegistry extends Construct {
  /** Environment variables that tell a program where the registry is and what opens it. */
  readonly environment: Record<string, string>;
  private readonly bucket: s3.Bucket;
  private readonly key: kms.Key;
  private readonly secret: secretsmanager.Secret | undefined;

  constructor(scope: Construct, id: string, { settings, bucket, key }: ModelRegistryProps) {
    super(scope, id);
    this.bucket = bucket;
    this.key = key;
    if (settings.registry.kind === 's3') {
      this.environment = { [ENVARS.registry]: `s3://${bucket.bucketName}` };
      return;
    }
    // The owner fills it in after the first deployment: a key in a template would be a key in the history. Encrypted with
    // the account's key for secrets; for ours the library would open the key's policy with wildcards.
    this.secret = new secretsmanager.Secret(this, 'Secret', {
      description: 'edge-clip: R2 key that publishes models, {"access_key_id", "secret_access_key"}',
      generateSecretString: {
        secretStringTemplate: JSON.stringify({ access_key_id: '' }),
        generateStringKey: 'secret_access_key',
      },
      removalPolicy: settings.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    accept(
      this.secret,
      'AwsSolutions::AwsSolutions-SMG4',
      'The key is made and revoked at Cloudflare; nothing in AWS could rotate it, its owner replaces the value.',
    );
    this.environment = {
      [ENVARS.registry]: `s3://${settings.registry.bucket}`,
      [ENVARS.registryEndpoint]: `https://${settings.registry.account_id}.r2.cloudflarestorage.com`,
      [ENVARS.registrySecret]: this.secret.secretArn,
    };
  }

  /** The gate: what is current, and what was measured when it became current. */
  grantReadModels(grantee: iam.IGrantable): void {
    this.grant(grantee, RECORDS, []);
  }

  /** A host that serves: the pointer, its release and manifest, and the files that the manifest names. */
  grantServe(grantee: iam.IGrantable): void {
    this.grant(grantee, EVERYTHING, []);
  }

  grantPublish(grantee: iam.IGrantable): void {
    this.grant(grantee, EVERYTHING, EVERYTHING);
  }

  private grant(grantee: iam.IGrantable, read: string[], write: string[]): void {
    if (this.secret !== undefined) {
      // R2 knows nothing of AWS roles: its own key decides what may be written.
      allow(grantee, ['secretsmanager:GetSecretValue'], [this.secret.secretArn]);
      return;
    }
    const objects = (keys: string[]) => keys.map((key) => this.bucket.arnForObjects(key));
    allow(grantee, ['s3:GetObject'], objects(read));
    allow(grantee, ['s3:ListBucket'], [this.bucket.bucketArn], listBelow([POINTERS]));
    allow(grantee, ['kms:Decrypt'], [this.key.keyArn]);
    if (write.length === 0) return;
    allow(grantee, ['s3:PutObject', 's3:AbortMultipartUpload'], objects(write));
    allow(grantee, ['kms:GenerateDataKey'], [this.key.keyArn]);
  }
}
