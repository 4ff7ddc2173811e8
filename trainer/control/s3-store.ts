// A bucket (or a prefix of one) as an object store: AWS S3, R2, or anything that speaks their API.
import { createReadStream, statSync } from 'node:fs';
import {
  GetObjectCommand,
  ListObjectsV2Command,
  NoSuchBucket,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { RefusedError } from './failure.ts';
import type { ObjectStore } from './object-store.ts';

export interface S3Options {
  /** Where the bucket is not AWS's own; AWS_ENDPOINT_URL is honoured by the SDK itself. */
  endpoint?: string | undefined;
  credentials?: { accessKeyId: string; secretAccessKey: string } | undefined;
}

/** One PutObject takes no more; a shard of data never comes near it. */
const MAX_PUT_BYTES = 5 * 2 ** 30;

/** `uri`: `s3://bucket` or `s3://bucket/prefix`. */
export function openS3Store(uri: string, { endpoint, credentials }: S3Options): ObjectStore {
  const [, bucket, path = ''] = /^s3:\/\/([^/]+)(?:\/(.*?))?\/?$/.exec(uri) ?? [];
  if (bucket === undefined) throw new RefusedError(`${uri} names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX`);
  const root = path === '' ? '' : `${path}/`;
  const client = new S3Client({
    // R2 knows one region, and the SDK wants to hear of one.
    ...(endpoint === undefined ? {} : { endpoint, region: 'auto' }),
    ...(credentials === undefined ? {} : { credentials }),
    // Emulators know no other style, and AWS takes it too.
    forcePathStyle: true,
    // R2 and emulators refuse the trailing checksums that the SDK adds by itself; every digest is compared by us anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  return {
    uri: uri.replace(/\/$/, ''),
    async get(key) {
      try {
        const { Body, ETag } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: root + key }));
        return { body: Buffer.from((await Body?.transformToByteArray()) ?? []), etag: ETag ?? '' };
      } catch (error) {
        if (statusOf(error) === 404 && !(error instanceof NoSuchBucket)) return null;
        throw explained(error, bucket);
      }
    },
    async put(key, body, only) {
      const condition = only === undefined ? {} : only === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: only.etag };
      try {
        await client.send(new PutObjectCommand({ Bucket: bucket, Key: root + key, Body: body, ...condition }));
        return true;
      } catch (error) {
        // 412: another object is there; 409: another write of the same key is under way; 404: none is there any more.
        const status = statusOf(error);
        if (
          only !== undefined &&
          status !== null &&
          [404, 409, 412].includes(status) &&
          !(error instanceof NoSuchBucket)
        )
          return false;
        throw explained(error, bucket);
      }
    },
    async putFile(key, file) {
      const { size } = statSync(file);
      if (size > MAX_PUT_BYTES)
        throw new RefusedError(`${file} has ${size} bytes; one object takes at most ${MAX_PUT_BYTES}: split it`);
      try {
        const Body = createReadStream(file);
        await client.send(new PutObjectCommand({ Bucket: bucket, Key: root + key, Body, ContentLength: size }));
      } catch (error) {
        throw explained(error, bucket);
      }
    },
    async list(prefix) {
      const found: { key: string; size: number }[] = [];
      let token: string | undefined;
      do {
        try {
          const page = await client.send(
            new ListObjectsV2Command({ Bucket: bucket, Prefix: root + prefix, ContinuationToken: token }),
          );
          for (const { Key = '', Size = 0 } of page.Contents ?? [])
            found.push({ key: Key.slice(root.length), size: Size });
          token = page.NextContinuationToken;
        } catch (error) {
          throw explained(error, bucket);
        }
      } while (token !== undefined);
      return found;
    },
  };
}

function statusOf(error: unknown): number | null {
  return error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? null) : null;
}

/** What a person can do about it; anything else stays what it was. */
function explained(error: unknown, bucket: string): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof NoSuchBucket) return new RefusedError(`there is no bucket ${bucket} for these credentials`);
  if (statusOf(error) === 403)
    return new RefusedError(`access to bucket ${bucket} is denied (${error.message}): check the credentials`);
  if (error.name === 'CredentialsProviderError')
    return new RefusedError(`no AWS credentials were found: set AWS_PROFILE, or sign in first (${error.message})`);
  return error;
}
