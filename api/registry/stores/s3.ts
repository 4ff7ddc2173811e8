// A bucket (or a prefix of one) as an object store: AWS S3, R2, or anything that speaks their API.
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { RegistryError } from '../errors.ts';
import { bytesOf, type Listed, type ObjectBody, type ObjectStore, rangeHeader, storedObject } from '../store.ts';
import { explained, statusOf } from './aws-errors.ts';
import { digestOfStream } from './hash.ts';

export interface S3Options {
  /** Where the bucket is not AWS's own; AWS_ENDPOINT_URL is honoured by the SDK itself. */
  endpoint?: string | undefined;
  credentials?: Keys | undefined;
  /** ARN of a secret {"access_key_id", "secret_access_key"}, where the role itself does not open the bucket (R2). */
  secret?: string | undefined;
}

interface Keys {
  accessKeyId: string;
  secretAccessKey: string;
}

/** One PutObject takes no more; a shard of data never comes near it. */
const MAX_PUT_BYTES = 5 * 2 ** 30;
/** S3 and what speaks its API list no more in a call. */
const PAGE_KEYS = 1000;
/** Up to this a body is held in memory, because the SDK tries a failed write again only where it has all of it. */
const MAX_BUFFERED_BYTES = 8 * 2 ** 20;

/** `uri`: `s3://bucket` or `s3://bucket/prefix`. The SDK is loaded by the first call. */
export function openS3Store(uri: string, options: S3Options): ObjectStore {
  const [, bucket, path = ''] = /^s3:\/\/([^/]+)(?:\/(.*?))?\/?$/.exec(uri) ?? [];
  if (bucket === undefined) throw new RegistryError(`${uri} names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX`);
  const root = path === '' ? '' : `${path}/`;
  let loading: ReturnType<typeof loadClient> | undefined;
  const load = () => {
    loading ??= loadClient(options);
    return loading;
  };
  const send = <T>(what: string, call: Promise<T>): Promise<T> => explained(`${what} in s3://${bucket}`, call);
  /** Undefined where there is no such object. */
  async function getObject(key: string, range?: string) {
    const { client, GetObjectCommand } = await load();
    const asked = { Bucket: bucket, Key: root + key, ...(range === undefined ? {} : { Range: range }) };
    return send(`reading ${key}`, client.send(new GetObjectCommand(asked)).catch(unlessStatus(404)));
  }
  return {
    uri: uri.replace(/\/$/, ''),
    async read(key, range) {
      const found = await getObject(key, rangeHeader(range));
      if (found === undefined) return undefined;
      return found.Body instanceof Readable ? found.Body : Readable.from([]);
    },
    async get(key) {
      const found = await getObject(key);
      if (found === undefined) return undefined;
      const { Body, ContentLength: size = 0, ETag: etag = '' } = found;
      const stream = () => (Body instanceof Readable ? Body : Readable.from([]));
      return storedObject({ size, etag, stream, digest: () => digestOfStream(stream()) });
    },
    async put(key, body, condition) {
      const { client, PutObjectCommand } = await load();
      const input = { Bucket: bucket, Key: root + key, ...(await toInput(body, key)), ...toHeaders(condition) };
      const writing = client.send(new PutObjectCommand(input));
      // 412: another object is there; 409: another write of the same key is under way; 404: none is there any more.
      const refused = condition === undefined ? [] : [404, 409, 412];
      return (await send(`writing ${key}`, writing.catch(unlessStatus(...refused)))) !== undefined;
    },
    async list(prefix, { after, most = Infinity } = {}) {
      const { client, ListObjectsV2Command } = await load();
      const found: Listed[] = [];
      const StartAfter = after === undefined ? undefined : root + after;
      let ContinuationToken: string | undefined;
      do {
        const MaxKeys = Math.min(PAGE_KEYS, most - found.length);
        const input = { Bucket: bucket, Prefix: root + prefix, StartAfter, MaxKeys, ContinuationToken };
        const page = await send(`listing ${prefix}`, client.send(new ListObjectsV2Command(input)));
        for (const { Key = '', Size = 0 } of page.Contents ?? [])
          found.push({ key: Key.slice(root.length), size: Size });
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined && found.length < most);
      return found;
    },
  };
}

/** The SDK warns on the console of a refused condition of a large write, which is an answer here. Every failure is thrown. */
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Imported here, so that a host without a bucket needs neither the time nor the memory of the SDK. */
async function loadClient({ endpoint, credentials, secret }: S3Options) {
  const { S3Client, GetObjectCommand, ListObjectsV2Command, PutObjectCommand } = await import('@aws-sdk/client-s3');
  const keys = credentials ?? (secret === undefined ? undefined : () => readSecret(secret));
  const client: S3Client = new S3Client({
    // R2 knows one region, and the SDK wants to hear of one.
    ...(endpoint === undefined ? {} : { endpoint, region: 'auto' }),
    ...(keys === undefined ? {} : { credentials: keys }),
    // Emulators know no other style, and AWS takes it too.
    forcePathStyle: true,
    // R2 and emulators refuse the trailing checksums that the SDK adds by itself; every digest is compared by us anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    logger: SILENT,
  });
  return { client, GetObjectCommand, ListObjectsV2Command, PutObjectCommand };
}

async function readSecret(arn: string): Promise<Keys> {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const { SecretString } = await new SecretsManagerClient({}).send(new GetSecretValueCommand({ SecretId: arn }));
  const { access_key_id, secret_access_key } = parseKeys(SecretString ?? '');
  if (
    typeof access_key_id !== 'string' ||
    typeof secret_access_key !== 'string' ||
    !access_key_id ||
    !secret_access_key
  )
    throw new RegistryError(
      `the secret ${arn} is not {"access_key_id", "secret_access_key"}: put the registry's keys there`,
    );
  return { accessKeyId: access_key_id, secretAccessKey: secret_access_key };
}

function parseKeys(text: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text);
    return typeof document === 'object' && document !== null ? { ...document } : {};
  } catch {
    return {};
  }
}

async function toInput(body: Uint8Array | ObjectBody, key: string) {
  if (body instanceof Uint8Array) return { Body: body };
  const { size } = body;
  if (size > MAX_PUT_BYTES)
    throw new RegistryError(`${key} has ${size} bytes; one object takes at most ${MAX_PUT_BYTES}: split it`);
  if (size <= MAX_BUFFERED_BYTES) return { Body: await bytesOf(body) };
  return { Body: Readable.from(body.stream()), ContentLength: size };
}

function toHeaders(condition: { etag: string } | 'absent' | undefined) {
  if (condition === undefined) return {};
  return condition === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.etag };
}

/** Answers of these statuses mean "no" and become undefined; a bucket that does not exist is never one of them. */
function unlessStatus(...statuses: number[]): (error: unknown) => undefined {
  return function absent(error) {
    const status = statusOf(error);
    const isBucket = error instanceof Error && error.name === 'NoSuchBucket';
    if (status !== undefined && statuses.includes(status) && !isBucket) return undefined;
    throw error;
  };
}
