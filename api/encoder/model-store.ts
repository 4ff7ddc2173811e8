// Where a model registry lies: a folder of this machine or a bucket, read by key.
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ENVARS } from '../../contracts/src/envars.ts';

export type ModelStore = {
  /** Undefined where there is no such object. */
  read(key: string): Promise<Readable | undefined>;
};

/** `uri`: `file:///folder`, `s3://bucket` or `s3://bucket/prefix`; `env`: endpoint and keys of a bucket. Nothing is read yet. */
export function openStore(uri: string, env: NodeJS.ProcessEnv): ModelStore {
  if (uri.startsWith('file://')) return openFolder(uri.slice('file://'.length));
  const [, bucket, path = ''] = /^s3:\/\/([^/]+)(?:\/(.*?))?\/?$/.exec(uri) ?? [];
  if (bucket === undefined) throw new Error(`${uri} is no model registry: write file:///FOLDER or s3://BUCKET`);
  return openBucket(bucket, path === '' ? '' : `${path}/`, env);
}

function openFolder(folder: string): ModelStore {
  return {
    async read(key) {
      try {
        return createReadStream('', { fd: await open(join(folder, key)) });
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
        throw error;
      }
    },
  };
}

function openBucket(bucket: string, root: string, env: NodeJS.ProcessEnv): ModelStore {
  let client: Awaited<ReturnType<typeof openClient>> | undefined;
  return {
    async read(key) {
      client ??= await openClient(env);
      const { s3, GetObjectCommand } = client;
      try {
        const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: root + key }));
        return Body instanceof Readable ? Body : undefined;
      } catch (error) {
        if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
        throw error;
      }
    },
  };
}

/** Imported here, so that a host without a bucket needs neither the time nor the memory of the SDK. */
async function openClient(env: NodeJS.ProcessEnv) {
  const { GetObjectCommand, S3Client } = await import('@aws-sdk/client-s3');
  const endpoint = env[ENVARS.registryEndpoint];
  const secret = env[ENVARS.registrySecret];
  const s3 = new S3Client({
    // R2 knows one region, and emulators no bucket in the host's name.
    ...(endpoint ? { endpoint, region: 'auto', forcePathStyle: true } : {}),
    ...(secret ? { credentials: await readSecret(secret) } : {}),
    // R2 lacks the checksums that the SDK would ask for; digests are compared here.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  return { s3, GetObjectCommand };
}

async function readSecret(arn: string) {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const { SecretString = '' } = await new SecretsManagerClient({}).send(new GetSecretValueCommand({ SecretId: arn }));
  const { access_key_id, secret_access_key } = JSON.parse(SecretString) as Record<string, string | undefined>;
  if (!access_key_id || !secret_access_key) throw new Error(`${arn} holds no access_key_id and secret_access_key`);
  return { accessKeyId: access_key_id, secretAccessKey: secret_access_key };
}
