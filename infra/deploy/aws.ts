// The questions that a deployment asks of AWS, one function each. Nothing is decided here.
import {
  CloudFormationClient,
  DescribeStacksCommand,
  paginateListStackResources,
  type Stack,
} from '@aws-sdk/client-cloudformation';
import {
  AccountLimitExceededException,
  BatchGetBuildsCommand,
  CodeBuildClient,
  StartBuildCommand,
} from '@aws-sdk/client-codebuild';
import {
  DescribeAvailabilityZonesCommand,
  EC2Client,
  paginateDescribeInstanceTypeOfferings,
} from '@aws-sdk/client-ec2';
import { DescribeImagesCommand, ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import { DeleteObjectsCommand, ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3';
import {
  GetAWSDefaultServiceQuotaCommand,
  GetServiceQuotaCommand,
  ServiceQuotasClient,
} from '@aws-sdk/client-service-quotas';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { explained, statusOf } from '../../api/registry/stores/aws-errors.ts';
import { UserError } from '../../contracts/src/user-error.ts';

export interface StackState {
  name: string;
  /** CloudFormation's word, such as UPDATE_COMPLETE. */
  status: string;
  updated_at: string | undefined;
  outputs: Record<string, string>;
  /** What it was given, and keeps where a deployment gives nothing. */
  parameters: Record<string, string>;
}

export interface Build {
  id: string;
  /** What it does now, such as INSTALL. */
  phase: string;
  status: 'running' | 'succeeded' | 'failed';
  /** Where its log can be read. */
  log: string | undefined;
}

export interface BuildRequest {
  project: string;
  /** `BUCKET/FOLDER/`. */
  source: string;
  variables: Readonly<Record<string, string>>;
}

/** As many builds run as the account may have at a time: one in many new accounts, and none before AWS has looked at them. */
export class TooManyBuilds extends UserError {}

/** AWS as a deployment sees it; the account and the region are those of the credentials. */
export interface Aws {
  region(): Promise<string>;
  identity(): Promise<{ account: string; arn: string }>;
  /** Undefined where there is no stack of that name. */
  stack(name: string): Promise<StackState | undefined>;
  /** Names of the buckets that a stack made. */
  buckets(stack: string): Promise<string[]>;
  /**
   * Deletes up to 1,000 versions of objects of a bucket; how many there were, 0 where it is empty.
   *
   * @throws UserError where S3 keeps one.
   */
  deleteVersions(bucket: string): Promise<number>;
  /** A quota's value in this account, or the one that an account begins with; undefined where AWS knows no such quota. */
  quota(service: string, code: string): Promise<number | undefined>;
  /** Names of the region's zones. */
  zones(): Promise<string[]>;
  /** By type, the zones that offer it. */
  zonesOf(types: readonly string[]): Promise<Map<string, string[]>>;
  /** Digest of the image with that tag; undefined where there is none. */
  imageDigest(repository: string, tag: string): Promise<string | undefined>;
  /** User and password for docker. */
  registryLogin(): Promise<{ user: string; password: string }>;
  /** Throws TooManyBuilds where the account may not run one more. */
  startBuild(request: BuildRequest): Promise<string>;
  build(id: string): Promise<Build>;
}

/** Credentials, region and endpoints are found as by the AWS command line. */
export function openAws(): Aws {
  const [sts, cloudFormation, quotas] = [new STSClient(), new CloudFormationClient(), new ServiceQuotasClient()];
  const [ec2, ecr, codeBuild, s3] = [new EC2Client(), new ECRClient(), new CodeBuildClient(), new S3Client()];
  return {
    region: () => explained('finding the region', sts.config.region()),
    async identity() {
      const { Account = '', Arn = '' } = await explained(
        'asking who these credentials are',
        sts.send(new GetCallerIdentityCommand({})),
      );
      return { account: Account, arn: Arn };
    },
    async stack(name) {
      const reading = cloudFormation.send(new DescribeStacksCommand({ StackName: name })).catch(unlessAbsent);
      const [found] = (await explained(`reading the stack ${name}`, reading))?.Stacks ?? [];
      return found === undefined ? undefined : toStackState(found);
    },
    async buckets(stack) {
      const reading = pagesOf(paginateListStackResources({ client: cloudFormation }, { StackName: stack }));
      const resources = (await explained(`reading the resources of ${stack}`, reading)).flatMap(
        ({ StackResourceSummaries = [] }) => StackResourceSummaries,
      );
      const buckets = resources.filter(({ ResourceType }) => ResourceType === 'AWS::S3::Bucket');
      const left = buckets.filter(({ ResourceStatus }) => ResourceStatus !== 'DELETE_COMPLETE');
      return left.map(({ PhysicalResourceId = '' }) => PhysicalResourceId);
    },
    async deleteVersions(Bucket) {
      const what = `emptying the bucket ${Bucket}`;
      const listed = await explained(what, s3.send(new ListObjectVersionsCommand({ Bucket })));
      const all = [...(listed.Versions ?? []), ...(listed.DeleteMarkers ?? [])];
      if (all.length === 0) return 0;
      const Delete = { Objects: all.map(({ Key, VersionId }) => ({ Key, VersionId })), Quiet: true };
      const [kept] = (await explained(what, s3.send(new DeleteObjectsCommand({ Bucket, Delete })))).Errors ?? [];
      if (kept !== undefined) throw new UserError(`${Bucket} keeps ${kept.Key}: ${kept.Message ?? kept.Code}`);
      return all.length;
    },
    async quota(ServiceCode, QuotaCode) {
      const asked = { ServiceCode, QuotaCode };
      const applied = quotas.send(new GetServiceQuotaCommand(asked)).catch(unlessAbsent);
      const found = await explained(`reading the quota ${QuotaCode}`, applied);
      if (found?.Quota?.Value !== undefined) return found.Quota.Value;
      const initial = quotas.send(new GetAWSDefaultServiceQuotaCommand(asked)).catch(unlessAbsent);
      return (await explained(`reading the quota ${QuotaCode}`, initial))?.Quota?.Value;
    },
    async zones() {
      const Filters = [{ Name: 'zone-type', Values: ['availability-zone'] }];
      const asked = ec2.send(new DescribeAvailabilityZonesCommand({ Filters }));
      const { AvailabilityZones = [] } = await explained('asking which zones the region has', asked);
      return AvailabilityZones.map(({ ZoneName = '' }) => ZoneName);
    },
    async zonesOf(types) {
      const zones = new Map<string, string[]>(types.map((type) => [type, []]));
      const Filters = [{ Name: 'instance-type', Values: [...types] }];
      const asked = { LocationType: 'availability-zone' as const, Filters };
      const reading = pagesOf(paginateDescribeInstanceTypeOfferings({ client: ec2 }, asked));
      for (const { InstanceTypeOfferings = [] } of await explained('asking which zones offer the machines', reading))
        for (const { InstanceType = '', Location = '' } of InstanceTypeOfferings)
          zones.get(InstanceType)?.push(Location);
      return zones;
    },
    async imageDigest(repositoryName, imageTag) {
      const asked = new DescribeImagesCommand({ repositoryName, imageIds: [{ imageTag }] });
      const found = await explained(`reading the images of ${repositoryName}`, ecr.send(asked).catch(unlessAbsent));
      return found?.imageDetails?.[0]?.imageDigest;
    },
    async registryLogin() {
      const answer = await explained('asking for a login', ecr.send(new GetAuthorizationTokenCommand({})));
      const token = Buffer.from(answer.authorizationData?.[0]?.authorizationToken ?? '', 'base64').toString();
      const [user = '', password = ''] = token.split(':');
      return { user, password };
    },
    async startBuild({ project, source, variables }) {
      const request = new StartBuildCommand({
        projectName: project,
        sourceTypeOverride: 'S3',
        sourceLocationOverride: source,
        environmentVariablesOverride: Object.entries(variables).map(([name, value]) => ({ name, value })),
      });
      const starting = codeBuild.send(request).catch((error: unknown) => {
        if (!(error instanceof AccountLimitExceededException)) throw error;
        throw new TooManyBuilds(
          `CodeBuild starts no build in this account (${error.message}): ask for more in Service Quotas (AWS CodeBuild, concurrently running builds for Linux/Medium), or build here with --images buildx`,
        );
      });
      const { build } = await explained('starting a build', starting);
      return build?.id ?? '';
    },
    async build(id) {
      const answer = await explained('reading a build', codeBuild.send(new BatchGetBuildsCommand({ ids: [id] })));
      const [found] = answer.builds ?? [];
      const isOver = found?.buildStatus !== undefined && found.buildStatus !== 'IN_PROGRESS';
      const ended = found?.buildStatus === 'SUCCEEDED' ? 'succeeded' : 'failed';
      return {
        id,
        phase: found?.currentPhase ?? '',
        status: isOver ? ended : 'running',
        log: found?.logs?.deepLink,
      };
    },
  };
}

async function pagesOf<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const page of pages) found.push(page);
  return found;
}

function toStackState({ StackName = '', StackStatus, LastUpdatedTime, CreationTime, ...stack }: Stack): StackState {
  const { Outputs, Parameters = [] } = stack;
  const outputs = (Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]);
  return {
    name: StackName,
    status: StackStatus ?? '',
    updated_at: (LastUpdatedTime ?? CreationTime)?.toISOString(),
    outputs: Object.fromEntries(outputs),
    parameters: Object.fromEntries(
      Parameters.map(({ ParameterKey = '', ParameterValue = '' }) => [ParameterKey, ParameterValue]),
    ),
  };
}

/** What there is none of: each service has its own name for that, and CloudFormation a sentence. */
function unlessAbsent(error: unknown): undefined {
  const absent = ['NoSuchResourceException', 'ImageNotFoundException', 'RepositoryNotFoundException'];
  const isAbsent = error instanceof Error && (absent.includes(error.name) || /does not exist/.test(error.message));
  if (isAbsent && statusOf(error) !== 403) return undefined;
  throw error;
}
