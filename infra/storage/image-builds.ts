// Builds container images from uploaded source: no machine needs Docker, and gigabytes of layers never leave AWS.
import { Stack } from 'aws-cdk-lib';
import * as codebuild from 'aws-cdk-lib/aws-codebuild';
import type * as ecr from 'aws-cdk-lib/aws-ecr';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { keyPattern } from '../../contracts/src/keys.ts';
import { grantActions, listBelow } from '../base/grants.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';

/** The variables come with each start (infra/deploy/images): one project builds both images. */
const BUILD_SPEC = {
  version: '0.2',
  phases: {
    pre_build: {
      commands: [
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own expansion: the registry is the repository's host.
        'aws ecr get-login-password | docker login --username AWS --password-stdin "${REPOSITORY%%/*}"',
      ],
    },
    build: {
      commands: [
        // Lambda takes no attestations beside an image.
        'docker build --platform "$PLATFORM" --provenance=false -f "$DOCKERFILE" -t "$REPOSITORY:$TAG" .',
        'docker push "$REPOSITORY:$TAG"',
      ],
    },
  },
};
/** The trainer's layers are 3 GB of packages, which come over the network and go into the repository. */
const TIMEOUT_MINUTES = 60;

export interface ImageBuildsProps {
  /** Read here: how long logs are kept. */
  settings: Settings;
  /** Holds the uploaded source. */
  bucket: s3.Bucket;
  key: kms.Key;
  /** Where images are pushed to. */
  repositories: readonly ecr.Repository[];
}

export class ImageBuilds extends Construct {
  readonly projectName: string;

  constructor(scope: Construct, id: string, { settings, bucket, key, repositories }: ImageBuildsProps) {
    super(scope, id);
    const sources = keyPattern('sources');
    const logGroup = createLogGroup(this, 'Logs', settings);
    const role = new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('codebuild.amazonaws.com'),
      description: 'What a build of images may do: read uploaded source, push to the two repositories',
    });
    grantActions(role, { actions: ['logs:CreateLogStream', 'logs:PutLogEvents'], resources: [logGroup.logGroupArn] });
    grantActions(role, { actions: ['s3:GetObject'], resources: [bucket.arnForObjects(sources)] });
    grantActions(role, { actions: ['s3:ListBucket'], resources: [bucket.bucketArn], conditions: listBelow([sources]) });
    // CodeBuild asks whose bucket it is, and where, before it reads from it.
    grantActions(role, { actions: ['s3:GetBucketAcl', 's3:GetBucketLocation'], resources: [bucket.bucketArn] });
    grantActions(role, { actions: ['kms:Decrypt'], resources: [key.keyArn] });
    grantActions(role, { actions: ['ecr:GetAuthorizationToken'], resources: ['*'] });
    grantActions(role, {
      actions: [
        'ecr:BatchCheckLayerAvailability',
        'ecr:CompleteLayerUpload',
        'ecr:InitiateLayerUpload',
        'ecr:PutImage',
        'ecr:UploadLayerPart',
      ],
      resources: repositories.map(({ repositoryArn }) => repositoryArn),
    });
    // The resource itself: the library's construct grants wildcards on reports and on the key.
    const project = new codebuild.CfnProject(this, 'Project', {
      description: 'edge-clip: builds an image from the source in the training bucket and pushes it',
      serviceRole: role.roleArn,
      encryptionKey: key.keyArn,
      artifacts: { type: 'NO_ARTIFACTS' },
      // Each start says which folder.
      source: { type: 'S3', location: `${bucket.bucketName}/`, buildSpec: Stack.of(this).toJsonString(BUILD_SPEC) },
      environment: {
        type: 'LINUX_CONTAINER',
        image: 'aws/codebuild/amazonlinux-x86_64-standard:5.0',
        computeType: 'BUILD_GENERAL1_MEDIUM',
        // Docker's daemon runs inside the build, which CodeBuild allows in no other mode; the source is the operator's own.
        privilegedMode: true,
      },
      logsConfig: { cloudWatchLogs: { status: 'ENABLED', groupName: logGroup.logGroupName } },
      timeoutInMinutes: TIMEOUT_MINUTES,
      queuedTimeoutInMinutes: TIMEOUT_MINUTES,
    });
    this.projectName = project.ref;
  }
}
