// Opens what a Worker reaches in AWS or beside it, by its bindings: signatures, an identity, uploads, and where bulk jobs are kept.

import { uploadKey } from '../../contracts/src/keys.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import type { BulkService } from '../bulk/service/routes.ts';
import { CoreError } from '../core/errors.ts';
import type { ObjectReader } from '../registry/store.ts';
import { assumeRole } from './aws/credentials.ts';
import { createIssuer, type Issuer } from './aws/issuer.ts';
import { type AwsKeys, createSignedFetch, type Fetch, regionOf } from './aws/signed-fetch.ts';
import { openUploads, type Uploads } from './aws/uploads.ts';
import type { AskJobs, UploadStore } from './dependencies.ts';
import { embeddedModel } from './embedded-model.ts';
import type { Env } from './env.ts';

type Keys = () => Promise<AwsKeys>;

export interface AwsServices {
  identity: Issuer['documents'] | undefined;
  /** Sends calls to the image encoders; undefined: they are not signed. */
  toEncoder: Fetch | undefined;
  /** By which images that are too large for a call reach the encoder; undefined: they do not. */
  uploads: (Uploads & UploadStore) | undefined;
  jobs: AskJobs | undefined;
  /** The service behind `jobs`, where this Worker itself has it. */
  ownJobs: OpenJobs | undefined;
}

export interface AwsOptions {
  /** Whose current model bulk jobs are for; undefined: they are for the embedded one. */
  registry: ObjectReader | undefined;
  /** Lets work go on when the request that began it is answered: `waitUntil`. */
  background(work: Promise<void>): void;
}

export function openAwsServices(env: Env, { registry, background }: AwsOptions): AwsServices {
  const issuer = issuerOf(env);
  const keys = keysOf(env, issuer);
  const toEncoder = keys && createSignedFetch(keys, { service: 'lambda', region: env.AWS_REGION });
  const uploads = uploadsOf(env, keys);
  const remote = serviceOfJobs(env, toEncoder);
  const ownJobs = remote ? undefined : batchJobs(env, { keys, registry, background });
  return {
    identity: issuer?.documents,
    toEncoder,
    uploads: uploads && {
      ...uploads,
      ...(ownJobs && env.UPLOADS === env.JOBS_STORE ? { jobUri: uploadUri(env) } : {}),
    },
    jobs: remote ?? (ownJobs && askOwnJobs(ownJobs)),
    ownJobs,
  };
}

/** Jobs that a service elsewhere keeps, which JOBS_URL names. */
function serviceOfJobs({ JOBS_URL: url }: Env, send: Fetch = (at, init) => fetch(at, init)): AskJobs | undefined {
  if (url === undefined) return undefined;
  return (path, init) =>
    send(`${url}${path}`, init).catch((error: unknown) => {
      if (error instanceof CoreError) throw error;
      const reason = reasonOf(error);
      throw new CoreError('encoder_unavailable', `The service of bulk jobs does not answer: ${reason}.`);
    });
}

interface JobsAccess extends AwsOptions {
  keys: Keys | undefined;
}

type OpenJobs = () => Promise<BulkService>;

const askOwnJobs = (open: OpenJobs): AskJobs =>
  async function askJobs(path, init) {
    const { askHere } = await import('./jobs/service.ts');
    return askHere(await open())(path, init);
  };

/** Jobs that this Worker itself keeps and AWS Batch runs. The code for them is read with the first request for a job. */
function batchJobs(env: Env, { keys, registry, background }: JobsAccess): OpenJobs | undefined {
  const { JOBS_STORE: uri, JOBS_QUEUE: queue, JOBS_DEFINITION: definition, MODEL_NAME: name } = env;
  if (!uri || !queue || !definition || !keys) return undefined;
  const { JOBS_GPU_QUEUE: gpuQueue, JOBS_GPU_DEFINITION: gpuDefinition } = env;
  const gpu = gpuQueue && gpuDefinition ? { queue: gpuQueue, definition: gpuDefinition } : undefined;
  const region = regionIn(env);
  let made: BulkService | undefined;
  return async function open() {
    const { createBatchService } = await import('./jobs/service.ts');
    const { openBucket } = await import('./jobs/bucket.ts');
    const { createBatchClient } = await import('./jobs/batch.ts');
    const { currentIn } = await import('../bulk/service/ask.ts');
    const { ModelManifest } = await import('../../contracts/src/model/manifest.ts');
    made ??= createBatchService({
      store: openBucket({ uri, region, endpoint: env.AWS_ENDPOINT_URL_S3, keys }),
      batch: createBatchClient({
        places: { cpu: { queue, definition }, gpu },
        endpoint: env.AWS_ENDPOINT_URL_BATCH,
        keys,
      }),
      current: async () =>
        currentIn(registry, { embedded: ModelManifest.parse(await embeddedModel(env.ASSETS).manifest()), name }),
      background,
    });
    return made;
  };
}

/** Calls to AWS are signed where there are keys, or a role that this Worker may take. */
function keysOf(env: Env, issuer: Issuer | undefined): Keys | undefined {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, WORKER_ROLE_ARN: role } = env;
  if (issuer && role) {
    return assumeRole({ role, region: regionIn(env), endpoint: env.AWS_ENDPOINT_URL_STS, token: issuer.token });
  }
  if (!AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY) return undefined;
  const keys = {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    sessionToken: AWS_SESSION_TOKEN,
  };
  return async () => keys;
}

const regionIn = (env: Env): string => env.AWS_REGION ?? regionOf(env.ENCODER_URL ?? '');

function issuerOf({ WORKER_ISSUER: url, WORKER_IDENTITY: keys }: Env): Issuer | undefined {
  return url === undefined || keys === undefined ? undefined : createIssuer({ url, keys });
}

/** By digest, in the bucket of uploads that is also the one of jobs. */
function uploadUri({ UPLOADS: uri }: Env): (digest: string) => string {
  return (digest) => `${uri}/${uploadKey(digest)}`;
}

/** A bucket with keys of its own, such as R2's, or one of AWS beside the encoder. */
function uploadsOf(env: Env, keys: Keys | undefined): Uploads | undefined {
  const { UPLOADS: uri, AWS_ENDPOINT_URL_S3: endpoint } = env;
  const { UPLOADS_ACCESS_KEY_ID: accessKeyId, UPLOADS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  const own = accessKeyId && secretAccessKey ? async () => ({ accessKeyId, secretAccessKey }) : keys;
  if (uri === undefined || own === undefined) return undefined;
  const region = env.UPLOADS_REGION ?? regionIn(env);
  return openUploads({ uri, region, endpoint, keys: own });
}
