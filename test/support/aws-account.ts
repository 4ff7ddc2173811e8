// A small AWS account over HTTP, as far as a deployment asks: identity, stacks, quotas, zones, images, builds, objects.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { answering } from '../../contracts/command/local-server.ts';

export interface AwsAccount {
  endpoint: string;
  /** What the SDK needs to reach it and nothing else of AWS. */
  env: Record<string, string>;
  /** Outputs by the name of a stack that there is. */
  stacks: Map<string, Record<string, string>>;
  /** What a stack was given, its status where it is not created, and when it was last updated, by its name. */
  parameters: Map<string, Record<string, string>>;
  statuses: Map<string, string>;
  updated: Map<string, string>;
  /** Values by code of Service Quotas. */
  quotas: Map<string, number>;
  /** Zones of the region. */
  regionZones: string[];
  /** Zones by instance type. */
  zones: Map<string, string[]>;
  /** Digests by `REPOSITORY:TAG`. */
  images: Map<string, string>;
  /** Every build that was started, with its variables. */
  builds: { id: string; source: string; variables: Record<string, string>; status: string }[];
  /** Keys of the objects that were put, by bucket and key. */
  objects: Map<string, number>;
  /** Ids of versions and delete markers, by `BUCKET/KEY`; listed two at a time. */
  versions: Map<string, string[]>;
  /** Keys that S3 deletes nothing of. */
  kept: Set<string>;
  /** Operations that these credentials may not call. */
  denied: Set<string>;
  /** Texts of secrets by ARN. */
  secrets: Map<string, string>;
  /** How builds end; a build that succeeds has pushed its image. */
  buildStatus: 'SUCCEEDED' | 'FAILED';
  /** How many of the next builds are refused, because as many run as the account may have. */
  buildsRefused: number;
  stop(): void;
}

export const ACCOUNT = '123456789012';

/** What the SDK and boto3 need to reach an emulator and nothing else of AWS. */
export const awsEnv = (endpoint: string): Record<string, string> => ({
  AWS_ENDPOINT_URL: endpoint,
  AWS_ACCESS_KEY_ID: 'testing',
  AWS_SECRET_ACCESS_KEY: 'testing',
  AWS_REGION: 'us-east-1',
});

export async function startAccount(): Promise<AwsAccount> {
  const server = answering((request, response) => answer(account, request, response));
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const account: AwsAccount = {
    endpoint,
    // A failure is an answer here, and not worth a second question.
    env: { ...awsEnv(endpoint), AWS_MAX_ATTEMPTS: '1' },
    stacks: new Map(),
    parameters: new Map(),
    statuses: new Map(),
    updated: new Map(),
    quotas: new Map(),
    regionZones: [],
    zones: new Map(),
    images: new Map(),
    builds: [],
    objects: new Map(),
    versions: new Map(),
    kept: new Set(),
    denied: new Set(),
    secrets: new Map(),
    buildStatus: 'SUCCEEDED',
    buildsRefused: 0,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return account;
}

async function answer(account: AwsAccount, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await buffer(request);
  const target = request.headers['x-amz-target'];
  if (typeof target === 'string') {
    const found = json(account, target.split('.')[1] ?? '', JSON.parse(body.toString()));
    response.statusCode = '__type' in found ? 400 : 200;
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    response.end(JSON.stringify(found));
    return;
  }
  const text = body.toString();
  response.setHeader('content-type', 'text/xml');
  if (request.method === 'POST' && text.startsWith('Action=')) {
    const asked = new URLSearchParams(text);
    const found = query(account, asked);
    response.statusCode = found.status;
    response.end(found.xml);
    return;
  }
  response.end(s3(account, request, body));
}

type Document = Record<string, unknown>;

/** Services that speak JSON. */
function json(account: AwsAccount, operation: string, asked: Document): Document {
  const absent = (type: string): Document => ({ __type: type, message: 'there is none' });
  if (account.denied.has(operation))
    return { __type: 'AccessDeniedException', message: `not authorized: ${operation}` };
  switch (operation) {
    case 'GetServiceQuota': {
      const Value = account.quotas.get(String(asked.QuotaCode));
      return Value === undefined ? absent('NoSuchResourceException') : { Quota: { Value } };
    }
    case 'GetAWSDefaultServiceQuota':
      return absent('NoSuchResourceException');
    case 'DescribeImages': {
      const [{ imageTag = '' } = {}] = asked.imageIds as { imageTag?: string }[];
      const imageDigest = account.images.get(`${asked.repositoryName}:${imageTag}`);
      return imageDigest === undefined ? absent('ImageNotFoundException') : { imageDetails: [{ imageDigest }] };
    }
    case 'GetSecretValue': {
      const SecretString = account.secrets.get(String(asked.SecretId));
      return SecretString === undefined ? absent('ResourceNotFoundException') : { SecretString };
    }
    case 'GetAuthorizationToken':
      return { authorizationData: [{ authorizationToken: Buffer.from('AWS:password').toString('base64') }] };
    case 'StartBuild': {
      account.buildsRefused -= 1;
      if (account.buildsRefused >= 0)
        return {
          __type: 'AccountLimitExceededException',
          message: 'Cannot have more than 1 builds in queue for the account',
        };
      const given = asked.environmentVariablesOverride as { name: string; value: string }[];
      const variables = Object.fromEntries(given.map(({ name, value }) => [name, value]));
      const id = `${asked.projectName}:${account.builds.length + 1}`;
      account.builds.push({ id, source: String(asked.sourceLocationOverride), variables, status: account.buildStatus });
      if (account.buildStatus === 'SUCCEEDED') pushImage(account, `${variables.REPOSITORY}:${variables.TAG}`);
      return { build: { id } };
    }
    case 'BatchGetBuilds': {
      const found = account.builds.filter(({ id }) => (asked.ids as string[]).includes(id));
      return {
        builds: found.map(({ id, status }) => ({
          id,
          buildStatus: status,
          currentPhase: status === 'SUCCEEDED' ? 'COMPLETED' : 'BUILD',
          logs: { deepLink: `https://logs.example/${id}` },
        })),
      };
    }
    default:
      return absent(`UnknownOperationException: ${operation}`);
  }
}

/** `name`: `REGISTRY/REPOSITORY:TAG`. */
export function pushImage(account: AwsAccount, name: string): void {
  const digit = name.includes('trainer') ? 'a' : 'b';
  account.images.set(name.slice(name.indexOf('/') + 1), `sha256:${digit.repeat(64)}`);
}

/** Services that speak XML. */
function query(account: AwsAccount, asked: URLSearchParams): { status: number; xml: string } {
  const ok = (name: string, result: string) => ({ status: 200, xml: `<${name}Response>${result}</${name}Response>` });
  const action = asked.get('Action') ?? '';
  if (account.denied.has(action))
    return {
      status: 403,
      xml: `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized: ${action}</Message></Error></ErrorResponse>`,
    };
  switch (action) {
    case 'GetCallerIdentity':
      return ok(
        'GetCallerIdentity',
        `<GetCallerIdentityResult><Account>${ACCOUNT}</Account><Arn>arn:aws:iam::${ACCOUNT}:user/deployer</Arn></GetCallerIdentityResult>`,
      );
    case 'DescribeStacks': {
      const name = asked.get('StackName') ?? '';
      const outputs = account.stacks.get(name);
      if (outputs === undefined)
        return {
          status: 400,
          xml: `<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id ${name} does not exist</Message></Error></ErrorResponse>`,
        };
      const members = Object.entries(outputs).map(
        ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
      );
      const given = Object.entries(account.parameters.get(name) ?? {}).map(
        ([key, value]) =>
          `<member><ParameterKey>${key}</ParameterKey><ParameterValue>${value}</ParameterValue></member>`,
      );
      const updated = account.updated.get(name);
      const parts = [
        `<StackName>${name}</StackName><StackStatus>${account.statuses.get(name) ?? 'CREATE_COMPLETE'}</StackStatus><CreationTime>2026-11-27T12:00:00Z</CreationTime>`,
        updated === undefined ? '' : `<LastUpdatedTime>${updated}</LastUpdatedTime>`,
        `<Outputs>${members.join('')}</Outputs><Parameters>${given.join('')}</Parameters>`,
      ];
      return ok(
        'DescribeStacks',
        `<DescribeStacksResult><Stacks><member>${parts.join('')}</member></Stacks></DescribeStacksResult>`,
      );
    }
    case 'ListStackResources': {
      const prefix = `${asked.get('StackName')}-`;
      const buckets = new Set([...account.versions.keys()].map((key) => key.split('/')[0] ?? ''));
      const members = [...buckets]
        .filter((bucket) => bucket.startsWith(prefix))
        .map(
          (bucket) =>
            `<member><ResourceType>AWS::S3::Bucket</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus><PhysicalResourceId>${bucket}</PhysicalResourceId></member>`,
        );
      return ok(
        'ListStackResources',
        `<ListStackResourcesResult><StackResourceSummaries>${members.join('')}</StackResourceSummaries></ListStackResourcesResult>`,
      );
    }
    case 'DescribeAvailabilityZones': {
      const items = account.regionZones.map((zone) => `<item><zoneName>${zone}</zoneName></item>`);
      return ok('DescribeAvailabilityZones', `<availabilityZoneInfo>${items.join('')}</availabilityZoneInfo>`);
    }
    case 'DescribeInstanceTypeOfferings': {
      const wanted = [...asked].flatMap(([key, value]) => (/^Filter\.1\.Value\.\d+$/.test(key) ? [value] : []));
      const items = wanted.flatMap((type) =>
        (account.zones.get(type) ?? []).map(
          (zone) => `<item><instanceType>${type}</instanceType><location>${zone}</location></item>`,
        ),
      );
      return ok(
        'DescribeInstanceTypeOfferings',
        `<instanceTypeOfferingSet>${items.join('')}</instanceTypeOfferingSet>`,
      );
    }
    default:
      return { status: 400, xml: '<ErrorResponse><Error><Code>InvalidAction</Code></Error></ErrorResponse>' };
  }
}

function s3(account: AwsAccount, { method, url = '' }: IncomingMessage, body: Buffer): string {
  const { pathname, searchParams } = new URL(url, account.endpoint);
  const path = decodeURIComponent(pathname.slice(1));
  if (method === 'PUT') {
    account.objects.set(path, body.byteLength);
    return '';
  }
  const [bucket = ''] = path.split('/');
  if (searchParams.has('versions')) return listVersions(account, bucket);
  if (searchParams.has('delete')) return deleteVersions(account, bucket, body.toString());
  const start = `${bucket}/${searchParams.get('prefix') ?? ''}`;
  const found = [...account.objects].filter(([key]) => key.startsWith(start));
  const contents = found.map(
    ([key, size]) => `<Contents><Key>${key.slice(bucket.length + 1)}</Key><Size>${size}</Size></Contents>`,
  );
  return `<ListBucketResult><IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`;
}

/** A page of two, with the word that it goes on: whoever empties a bucket has to ask again. */
function listVersions({ versions }: AwsAccount, bucket: string): string {
  const all = [...versions]
    .filter(([path]) => path.startsWith(`${bucket}/`))
    .flatMap(([path, ids]) => ids.map((id) => ({ key: path.slice(bucket.length + 1), id })));
  const members = all.slice(0, 2).map(({ key, id }) => {
    const kind = id.startsWith('marker') ? 'DeleteMarker' : 'Version';
    return `<${kind}><Key>${key}</Key><VersionId>${id}</VersionId></${kind}>`;
  });
  const next = all.length > 2 ? `<NextKeyMarker>${all[1]?.key}</NextKeyMarker>` : '';
  return `<ListVersionsResult><IsTruncated>${all.length > 2}</IsTruncated>${next}${members.join('')}</ListVersionsResult>`;
}

function deleteVersions({ versions, kept }: AwsAccount, bucket: string, body: string): string {
  const errors: string[] = [];
  for (const [, key = '', id = ''] of body.matchAll(/<Key>(.*?)<\/Key><VersionId>(.*?)<\/VersionId>/g)) {
    const path = `${bucket}/${key}`;
    if (kept.has(path))
      errors.push(`<Error><Key>${key}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`);
    else
      versions.set(
        path,
        (versions.get(path) ?? []).filter((each) => each !== id),
      );
  }
  return `<DeleteResult>${errors.join('')}</DeleteResult>`;
}
