// The model registry: the models bucket, or the R2 bucket that the Worker reads, reached with a key that a secret holds.
import { Stack } from 'aws-cdk-lib';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { ENVARS } from '../../contracts/src/envars.ts';
import { keyPattern } from '../../contracts/src/keys.ts';
import { acknowledge } from '../base/acknowledge.ts';
import { grantActions, listBelow } from '../base/grants.ts';
import { stackParameter } from '../base/parameter.ts';
import { removalPolicyOf } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';

const POINTERS = keyPattern('models');
/** What says which model is current and what it was measured at, without the files themselves. */
const RECORDS = [POINTERS, keyPattern('manifests'), keyPattern('releases')];
const EVERYTHING = [...RECORDS, keyPattern('artefacts')];

export interface ModelRegistryProps {
  /** Read here: which kind of registry, and whether its secret outlives the stack. */
  settings: Settings;
  /** Bucket of published models; unused with a registry in R2. */
  bucket: s3.Bucket;
  /** Key that the bucket is encrypted with. */
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
    if (settings.registry === 's3') {
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
      removalPolicy: removalPolicyOf(settings),
    });
    acknowledge(
      this.secret,
      'AwsSolutions::AwsSolutions-SMG4',
      'The key is made and revoked at Cloudflare; nothing in AWS could rotate it, its owner replaces the value.',
    );
    const account = stackParameter(Stack.of(this), 'RegistryAccountId').valueAsString;
    this.environment = {
      [ENVARS.registry]: `s3://${stackParameter(Stack.of(this), 'RegistryBucket').valueAsString}`,
      [ENVARS.registryEndpoint]: `https://${account}.r2.cloudflarestorage.com`,
      [ENVARS.registrySecret]: this.secret.secretArn,
    };
  }

  /** For the gate: reads what is current, and what was measured when it became current. */
  grantReadModels(grantee: iam.IGrantable): void {
    this.grant(grantee, RECORDS, []);
  }

  /** For a host that serves: reads the pointer, its release and manifest, and the files that the manifest names. */
  grantServe(grantee: iam.IGrantable): void {
    this.grant(grantee, EVERYTHING, []);
  }

  /** For the publisher: reads and writes everything. */
  grantPublish(grantee: iam.IGrantable): void {
    this.grant(grantee, EVERYTHING, EVERYTHING);
  }

  private grant(grantee: iam.IGrantable, read: string[], write: string[]): void {
    if (this.secret !== undefined) {
      // R2 knows nothing of AWS roles: its own key decides what may be written.
      grantActions(grantee, { actions: ['secretsmanager:GetSecretValue'], resources: [this.secret.secretArn] });
      return;
    }
    const objects = (keys: string[]) => keys.map((key) => this.bucket.arnForObjects(key));
    grantActions(grantee, { actions: ['s3:GetObject'], resources: objects(read) });
    grantActions(grantee, {
      actions: ['s3:ListBucket'],
      resources: [this.bucket.bucketArn],
      conditions: listBelow([POINTERS]),
    });
    grantActions(grantee, { actions: ['kms:Decrypt'], resources: [this.key.keyArn] });
    if (write.length === 0) return;
    grantActions(grantee, { actions: ['s3:PutObject', 's3:AbortMultipartUpload'], resources: objects(write) });
    grantActions(grantee, { actions: ['kms:GenerateDataKey'], resources: [this.key.keyArn] });
  }
}
