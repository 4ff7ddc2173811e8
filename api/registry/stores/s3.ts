// A bucket (or a prefix of one) as an object store: AWS S3, R2, or anything that speaks their API.
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { RegistryError } from '../errors.ts';
import {
  type ByteRange,
  bytesOf,
  type Condition,
  inTime,
  type Listed,
  type ObjectStore,
  rangeHeader,
  storedObject,
} from '../store.ts';
import { explained, isTransient, unlessStatus } from './aws-errors.ts';
import { digestOfStream } from './hash.ts';
import { type PartCalls, putInParts } from './multipart.ts';
import { resuming } from './resuming.ts';

export interface S3Options {
  /** Where the bucket is not AWS's own; AWS_ENDPOINT_URL is honoured by the SDK itself. */
  endpoint?: string | undefined;
  credentials?: Keys | undefined;
  /** ARN of a secret {"access_key_id", "secret_access_key"}, where the role itself does not open the bucket (R2). */
  secret?: string | undefined;
  /** A read is given up where nothing comes for so long. */
  waitMs?: number;
}

interface Keys {
  accessKeyId: string;
  secretAccessKey: string;
}

/** S3 and what speaks its API list no more in a call. */
const PAGE_KEYS = 1000;
/** Up to this a body is held in memory and sent at once: the SDK tries a failed write again only where it has all of it. */
const MAX_BUFFERED_BYTES = 8 * 2 ** 20;

/** For the beginning of an answer, and for each piece of what is read. */
const WAIT_MS = 60_000;

/** Keys of a secret are read again after this, and the SDK asks for others so long before they expire. */
const READ_AGAIN_MS = 5 * 60_000;
const SDK_MARGIN_MS = 5 * 60_000;

/** `uri`: `s3://bucket` or `s3://bucket/prefix`. The SDK is loaded by the first call. */
export function openS3Store(uri: string, options: S3Options): ObjectStore {
  const [, bucket, path = ''] = /^s3:\/\/([^/]+)(?:\/(.*?))?\/?$/.exec(uri) ?? [];
  if (bucket === undefined) throw new RegistryError(`${uri} names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX`);
  const root = path === '' ? '' : `${path}/`;
  const { waitMs = WAIT_MS } = options;
  let loading: ReturnType<typeof loadClient> | undefined;
  const load = () => {
    loading ??= loadClient(options);
    return loading;
  };
  const send = <T>(what: string, call: Promise<T>): Promise<T> => explained(`${what} in s3://${bucket}`, call);
  /** Undefined where there is no such object, or another one. */
  async function getObject(key: string, asked: { Range?: string; IfMatch?: string | undefined } = {}) {
    const { client, sdk } = await load();
    const command = new sdk.GetObjectCommand({ Bucket: bucket, Key: root + key, ...asked });
    const asking = client.send(command, { requestTimeout: waitMs });
    return send(`reading ${key}`, asking.catch(unlessStatus(404, 412)));
  }
  /** The content of an answer, to be read once. */
  function contentOf(key: string, { Body, ETag }: { Body?: unknown; ETag?: string | undefined }, range: ByteRange) {
    const first = Body instanceof Readable ? Body : Readable.from([]);
    const awaited = (body: Readable) => {
      const why = `reading ${key} in s3://${bucket}: the store sent nothing for ${waitMs / 1000} seconds: try again`;
      const error = new RegistryError(why, { isTransient: true });
      return inTime(body, { ms: waitMs, late: () => body.destroy(error) && error });
    };
    const reopen = async (from: number) => {
      const Range = rangeHeader({ from, to: range.to });
      const rest = await getObject(key, { Range, IfMatch: ETag });
      if (rest?.ContentRange?.startsWith(`bytes ${from}-`) && rest.Body instanceof Readable) return awaited(rest.Body);
      if (rest?.Body instanceof Readable) rest.Body.destroy();
      const why = rest ? 'the store sends no part of an object' : 'it was replaced or removed meanwhile';
      throw new RegistryError(`reading ${key} in s3://${bucket} broke off, and ${why}: try again`, {
        isTransient: true,
      });
    };
    return { stream: () => resuming(awaited(first), range, reopen), close: () => void first.destroy() };
  }
  return {
    uri: uri.replace(/\/$/, ''),
    async read(key, range) {
      const found = await getObject(key, { Range: rangeHeader(range) });
      return found && contentOf(key, found, range).stream();
    },
    async get(key) {
      const found = await getObject(key);
      if (found === undefined) return undefined;
      const { ContentLength: size = 0, ETag: etag = '' } = found;
      const content = contentOf(key, found, { from: 0, to: size });
      return storedObject({ size, etag, ...content, digest: () => digestOfStream(content.stream()) });
    },
    async put(key, body, condition) {
      const { client, sdk } = await load();
      const [place, headers] = [{ Bucket: bucket, Key: root + key }, toHeaders(condition)];
      const write = async (): Promise<boolean> => {
        if (!(body instanceof Uint8Array) && body.size > MAX_BUFFERED_BYTES)
          return putInParts(partCalls({ client, sdk }, place, headers), body);
        const input = { ...place, ...headers, Body: await bytesOf(body) };
        const writing = client.send(new sdk.PutObjectCommand(input)).catch(unlessRefused(headers));
        return (await writing) !== undefined;
      };
      return send(`writing ${key}`, write());
    },
    async list(prefix, { after, most = Infinity } = {}) {
      const { client, sdk } = await load();
      const found: Listed[] = [];
      const StartAfter = after === undefined ? undefined : root + after;
      let ContinuationToken: string | undefined;
      do {
        const MaxKeys = Math.min(PAGE_KEYS, most - found.length);
        const input = { Bucket: bucket, Prefix: root + prefix, StartAfter, MaxKeys, ContinuationToken };
        const page = await send(`listing ${prefix}`, client.send(new sdk.ListObjectsV2Command(input)));
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

interface Place {
  Bucket: string;
  Key: string;
}
interface WriteHeaders {
  IfMatch?: string;
  IfNoneMatch?: string;
}

/** What the object keeps of the upload that it came with. */
const MARK = 'upload';

function partCalls({ client, sdk }: Loaded, place: Place, headers: WriteHeaders): PartCalls {
  const head = () => client.send(new sdk.HeadObjectCommand(place)).catch(unlessStatus(403, 404));
  return {
    key: place.Key,
    async holds() {
      const { IfMatch, IfNoneMatch } = headers;
      const found = IfMatch === undefined && IfNoneMatch === undefined ? undefined : await head();
      return found === undefined || (IfNoneMatch === undefined && found.ETag === IfMatch);
    },
    async begin(mark) {
      const command = new sdk.CreateMultipartUploadCommand({ ...place, Metadata: { [MARK]: mark } });
      return (await client.send(command)).UploadId;
    },
    async send(UploadId, { number, bytes }, abortSignal) {
      // The SDK signs the digest of what is in memory, and the store compares it.
      const command = new sdk.UploadPartCommand({ ...place, UploadId, PartNumber: number, Body: bytes });
      return { number, etag: (await client.send(command, { abortSignal })).ETag };
    },
    async end(UploadId, parts) {
      const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag }));
      const input = { ...place, ...headers, UploadId, MultipartUpload: { Parts } };
      const ending = client.send(new sdk.CompleteMultipartUploadCommand(input)).catch(unlessRefused(headers));
      return (await ending) !== undefined;
    },
    giveUp: async (UploadId) => void (await client.send(new sdk.AbortMultipartUploadCommand({ ...place, UploadId }))),
    mark: async () => (await head())?.Metadata?.[MARK],
  };
}

type Loaded = Awaited<ReturnType<typeof loadClient>>;

/** Imported here, so that a host without a bucket needs neither the time nor the memory of the SDK. */
async function loadClient({ endpoint, credentials, secret }: S3Options) {
  const sdk = await import('@aws-sdk/client-s3');
  const keys = credentials ?? (secret === undefined ? undefined : keysIn(secret));
  const client: S3Client = new sdk.S3Client({
    // R2 knows one region, and the SDK wants to hear of one.
    ...(endpoint === undefined ? {} : { endpoint, region: 'auto' }),
    ...(keys === undefined ? {} : { credentials: keys }),
    // Emulators know no other style, and AWS takes it too.
    forcePathStyle: true,
    // Where a call has one, as reads have.
    requestHandler: { throwOnRequestTimeout: true },
    // R2 and emulators refuse the trailing checksums that the SDK adds by itself; every digest is compared by us anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    logger: SILENT,
  });
  return { sdk, client };
}

/** The keys as the secret holds them. They are replaced where their owner replaces them, and read again while this process goes on. */
function keysIn(secret: string): () => Promise<Keys & { expiration: Date }> {
  let last: Keys | undefined;
  return async function read() {
    try {
      last = await readSecret(secret);
    } catch (error) {
      if (last === undefined || !isTransient(error)) throw error;
    }
    return { ...last, expiration: new Date(Date.now() + READ_AGAIN_MS + SDK_MARGIN_MS) };
  };
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

function toHeaders(condition: Condition | undefined): WriteHeaders {
  if (condition === undefined) return {};
  return condition === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.etag };
}

/** 412: another object is there; 409: another write of the same key is under way; 404: none is there any more. */
function unlessRefused(headers: WriteHeaders): (error: unknown) => undefined {
  return unlessStatus(...(Object.keys(headers).length === 0 ? [] : [404, 409, 412]));
}
