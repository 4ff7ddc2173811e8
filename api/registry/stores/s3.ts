// A bucket (or a prefix of one) as an object store: AWS S3, R2, or anything that speaks their API.
import { createReadStream, statSync } from 'node:fs';
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { ObjectStore } from '../store.ts';
import { explained, statusOf } from './aws-errors.ts';

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
  if (bucket === undefined) throw new UserError(`${uri} names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX`);
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
  const send = <T>(what: string, call: Promise<T>): Promise<T> => explained(`${what} in s3://${bucket}`, call);
  return {
    uri: uri.replace(/\/$/, ''),
    async get(key) {
      const reading = client.send(new GetObjectCommand({ Bucket: bucket, Key: root + key })).catch(unlessStatus(404));
      const found = await send(`reading ${key}`, reading);
      if (found === null) return null;
      return { body: Buffer.from((await found.Body?.transformToByteArray()) ?? []), etag: found.ETag ?? '' };
    },
    async put(key, body, only) {
      const condition = only === undefined ? {} : only === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: only.etag };
      const writing = client.send(new PutObjectCommand({ Bucket: bucket, Key: root + key, Body: body, ...condition }));
      // 412: another object is there; 409: another write of the same key is under way; 404: none is there any more.
      const refused = only === undefined ? [] : [404, 409, 412];
      return (await send(`writing ${key}`, writing.catch(unlessStatus(...refused)))) !== null;
    },
    async putFile(key, file) {
      const { size } = statSync(file);
      if (size > MAX_PUT_BYTES)
        throw new UserError(`${file} has ${size} bytes; one object takes at most ${MAX_PUT_BYTES}: split it`);
      const Body = createReadStream(file);
      const input = { Bucket: bucket, Key: root + key, Body, ContentLength: size };
      await send(`writing ${key}`, client.send(new PutObjectCommand(input)));
    },
    async list(prefix) {
      const found: { key: string; size: number }[] = [];
      let ContinuationToken: string | undefined;
      do {
        const input = { Bucket: bucket, Prefix: root + prefix, ContinuationToken };
        const page = await send(`listing ${prefix}`, client.send(new ListObjectsV2Command(input)));
        for (const { Key = '', Size = 0 } of page.Contents ?? [])
          found.push({ key: Key.slice(root.length), size: Size });
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined);
      return found;
    },
  };
}

/** Answers of these statuses mean "no" and become null; a bucket that does not exist is never one of them. */
function unlessStatus(...statuses: number[]): (error: unknown) => null {
  return function absent(error) {
    const status = statusOf(error);
    const isBucket = error instanceof Error && error.name === 'NoSuchBucket';
    if (status !== null && statuses.includes(status) && !isBucket) return null;
    throw error;
  };
}
