// What knows that it is a Worker: bindings and files of the bundle become the application's dependencies.

import { waitUntil } from 'cloudflare:workers';
import { PLAN_LIMITS } from '../../contracts/src/api/limits.ts';
import { uploadKey } from '../../contracts/src/keys.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import { version } from '../../package.json';
import type { BulkService } from '../bulk/service/routes.ts';
import type { VectorCache } from '../core/encode/cache.ts';
import { CoreError } from '../core/errors.ts';
import type { ObjectReader } from '../registry/store.ts';
import { openR2Reader } from '../registry/stores/r2.ts';
import type { TextEngine } from '../text/engine.ts';
import relaxed from '../text/wasm/encoder.relaxed.wasm';
import plain from '../text/wasm/encoder.wasm';
import { createWasmEngine } from '../text/wasm/engine.ts';
import { chooseBuild } from '../text/wasm/modules.ts';
import { createKeyCache } from './access/key-cache.ts';
import { createLimits } from './access/limits.ts';
import { policyOf, WORDS } from './access/policy.ts';
import { createApp } from './app.ts';
import { assumeRole } from './aws/credentials.ts';
import { createIssuer, type Issuer } from './aws/issuer.ts';
import { type AwsKeys, createSignedFetch, type Fetch, regionOf } from './aws/signed-fetch.ts';
import { openUploads, type Uploads } from './aws/uploads.ts';
import { createEdgeStore } from './cache/edge.ts';
import { createMemoryStore } from './cache/memory.ts';
import { createObjectCache, createProofs } from './cache/objects.ts';
import { createVectorCache } from './cache/vector-cache.ts';
import type { AskJobs } from './dependencies.ts';
import { embeddedDigest, embeddedModel } from './embedded-model.ts';
import { Env, pricesIn } from './env.ts';
import { probeImageEncoder } from './images/client.ts';
import { createImageRouter } from './images/router.ts';
import { createLock, withLease } from './isolate/lease.ts';
import { type Access, createAccess } from './middleware/access.ts';
import { createAdmission } from './middleware/admission.ts';
import { createCors, readOrigins } from './middleware/cors.ts';
import { provideModel, providePublishedModel } from './model-provider.ts';
import { logRequest, pointsTo } from './observe/finished.ts';
import { createMetrics } from './observe/metrics.ts';

/** Longer than opening a model takes. */
const OPENING_MS = 30_000;
/** Of vectors in memory, some 1,800 of 512 numbers: an isolate has 128 MB, and the model takes most of it. */
const CACHE_BYTES = 4 * 1024 * 1024;

/** Runs `work` once no other work given to it is running. */
export type Alone = <T>(work: () => Promise<T>) => Promise<T>;

/** The Worker's handler. `onnxruntime`: makes the engine for what our own does not run; absent: that is refused. */
export function createService(onnxruntime: (alone: Alone) => TextEngine = () => notBuiltIn) {
  let made: ReturnType<typeof assemble> | undefined;
  const assembled = (env: Env) => {
    made ??= assemble(Env.parse(env), onnxruntime);
    return made;
  };
  return {
    fetch: (request, env, context) => assembled(env).app.fetch(request, env, context),
    // Every few minutes (wrangler.toml): ends of bulk jobs that nobody could be told of, or that nobody has noticed.
    async scheduled(_, env) {
      const { bulk } = assembled(env);
      if (!bulk) return;
      const { tellLate } = await import('./jobs/service.ts');
      await tellLate(await bulk());
    },
  } satisfies ExportedHandler<Env>;
}

const notBuiltIn: TextEngine = {
  async open({ graph }) {
    const message = `${graph.file.path} is for onnxruntime-web, which this Worker was built without: set main = "api/worker/with-onnxruntime.ts" in wrangler.toml`;
    throw new CoreError('model_unavailable', message);
  },
};

function assemble(env: Env, onnxruntime: (alone: Alone) => TextEngine) {
  const {
    ENCODER_URL: cpu,
    ENCODER_GPU_URL: gpu,
    MODELS: bucket,
    MODEL_NAME: name,
    MODEL_REGISTRY_SECONDS: seconds,
    ASSETS: assets,
  } = env;
  const { REQUEST_POINTS: points } = env;
  const issuer = issuerOf(env);
  const keys = keysOf(env, issuer);
  const toLambda = keys && createSignedFetch(keys, { service: 'lambda', region: env.AWS_REGION });
  const uploads = uploadsOf(env, keys);
  const { encode: images, route: routeImages } = createImageRouter(
    { lambda_cpu: cpu, lambda_gpu: gpu },
    {
      send: toLambda,
      uploads,
      maxBytes: env.ENCODER_MAX_BYTES,
      deadlineMs: env.ENCODER_SECONDS && env.ENCODER_SECONDS * 1000,
    },
  );
  const near = env.CACHE === 'edge' ? createObjectCache({ cache: caches.default, background: waitUntil }) : undefined;
  const registry = bucket && { ...openR2Reader(bucket), near };
  const remote = serviceOfJobs(env, toLambda);
  const bulk = remote ? undefined : batchJobs(env, { keys, registry });
  const jobs = remote ?? (bulk && askOwnJobs(bulk));
  const { image_bytes, ...others } = PLAN_LIMITS[env.PLAN];
  const limits = {
    ...others,
    image_bytes: uploads ? image_bytes : Math.min(image_bytes, env.ENCODER_MAX_BYTES ?? image_bytes),
  };
  const lock = createLock(OPENING_MS);
  const onnx = onnxruntime((work) => withLease(lock, work));
  const own = { onnx: undefined, wasm: chooseBuild({ relaxed, plain }), 'wasm-plain': plain }[env.TEXT_ENGINE];
  const engine = own ? createWasmEngine({ module: own, otherwise: onnx }) : onnx;
  const embedded = embeddedModel(assets);
  const provider = registry
    ? providePublishedModel({
        embedded: { source: embedded, digest: embeddedDigest },
        registry,
        name,
        seconds,
        engine,
        limits,
        background: waitUntil,
        proofs: near && createProofs(near, `${env.DEPLOYMENT?.id ?? version}/${env.TEXT_ENGINE}`),
        // Where no image is ever encoded, none has to be.
        probeImages: async (space) => void ((cpu ?? gpu) && (await probeImageEncoder(images, space))),
      })
    : provideModel(embedded, engine, limits);
  const files = assets && ((request: Request) => assets.fetch(request));
  const origins = readOrigins(env.CORS_ORIGINS);
  const isolate = crypto.randomUUID().slice(0, 8);
  const metrics = createMetrics(isolate);
  const observers = [metrics.observe, logRequest, ...(points ? [pointsTo(points)] : [])];
  const app = createApp({
    isolate,
    provider,
    images,
    routeImages,
    jobs,
    cache: cacheOf(env),
    admission: createAdmission({ background: waitUntil }),
    access: accessOf(env, origins),
    cors: createCors('origins' in origins ? origins.origins : [], { isLocal: env.ACCESS === WORDS.loopback }),
    version,
    prices: pricesIn(env),
    files,
    identity: issuer?.documents,
    uploads: uploads && { ...uploads, ...(bulk && env.UPLOADS === env.JOBS_STORE ? { jobUri: uploadUri(env) } : {}) },
    observers,
    metrics: metrics.render,
  });
  return { app, bulk };
}

function cacheOf({ CACHE: kind }: Env): VectorCache | undefined {
  if (kind === 'off') return undefined;
  const edge = kind === 'edge' ? createEdgeStore({ cache: caches.default, background: waitUntil }) : undefined;
  return createVectorCache({ memory: createMemoryStore(CACHE_BYTES), edge });
}

function accessOf(env: Env, listed: ReturnType<typeof readOrigins>): Access {
  const { KEYS: namespace, ACCESS: access, KEY_SECONDS: seconds, USAGE: usage, FLOOD: flood } = env;
  const secondsUnknown = Math.min(seconds, 5);
  const keys = namespace && createKeyCache(namespace, { seconds, secondsUnknown });
  const limits =
    usage && createLimits({ counterOf: (digest) => usage.getByName(digest), flood, background: waitUntil });
  if ('problem' in listed) return createAccess({ policy: listed });
  const policy = policyOf({ access, hasKeys: keys !== undefined });
  return createAccess({ policy, keys, limits, origins: listed.origins });
}

/** Jobs by a service that listens elsewhere. */
function serviceOfJobs({ JOBS_URL: url }: Env, send: Fetch = (at, init) => fetch(at, init)): AskJobs | undefined {
  if (url === undefined) return undefined;
  return (path, init) =>
    send(`${url}${path}`, init).catch((error: unknown) => {
      if (error instanceof CoreError) throw error;
      const reason = reasonOf(error);
      throw new CoreError('encoder_unavailable', `The service of bulk jobs does not answer: ${reason}.`);
    });
}

interface JobsAccess {
  keys: (() => Promise<AwsKeys>) | undefined;
  registry: ObjectReader | undefined;
}

type OpenJobs = () => Promise<BulkService>;

const askOwnJobs = (open: OpenJobs): AskJobs =>
  async function askJobs(path, init) {
    const { askHere } = await import('./jobs/service.ts');
    return askHere(await open())(path, init);
  };

/** Jobs by this Worker itself, which AWS Batch runs. Their files are read when somebody asks for them. */
function batchJobs(env: Env, { keys, registry }: JobsAccess): OpenJobs | undefined {
  const { JOBS_STORE: uri, JOBS_QUEUE: queue, JOBS_DEFINITION: definition, MODEL_NAME: name } = env;
  if (!uri || !queue || !definition || !keys) return undefined;
  const { JOBS_GPU_QUEUE: gpuQueue, JOBS_GPU_DEFINITION: gpuDefinition } = env;
  const gpu = gpuQueue && gpuDefinition ? { queue: gpuQueue, definition: gpuDefinition } : undefined;
  const region = env.AWS_REGION ?? regionOf(env.ENCODER_URL ?? '');
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
      background: waitUntil,
    });
    return made;
  };
}

/** Calls to AWS are signed where there are keys, or a role that this Worker may take. */
function keysOf(env: Env, issuer: Issuer | undefined): (() => Promise<AwsKeys>) | undefined {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, WORKER_ROLE_ARN: role } = env;
  if (issuer && role) {
    const region = env.AWS_REGION ?? regionOf(env.ENCODER_URL ?? '');
    return assumeRole({ role, region, endpoint: env.AWS_ENDPOINT_URL_STS, token: issuer.token });
  }
  if (!AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY) return undefined;
  const keys = {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    sessionToken: AWS_SESSION_TOKEN,
  };
  return async () => keys;
}

function issuerOf({ WORKER_ISSUER: url, WORKER_IDENTITY: keys }: Env): Issuer | undefined {
  return url === undefined || keys === undefined ? undefined : createIssuer({ url, keys });
}

/** Of the bucket that jobs are kept in, too. */
function uploadUri({ UPLOADS: uri }: Env): (digest: string) => string {
  return (digest) => `${uri}/${uploadKey(digest)}`;
}

/** A bucket with keys of its own, such as R2's, or one of AWS beside the encoder. */
function uploadsOf(env: Env, keys: (() => Promise<AwsKeys>) | undefined): Uploads | undefined {
  const { UPLOADS: uri, AWS_ENDPOINT_URL_S3: endpoint } = env;
  const { UPLOADS_ACCESS_KEY_ID: accessKeyId, UPLOADS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  const own = accessKeyId && secretAccessKey ? async () => ({ accessKeyId, secretAccessKey }) : keys;
  if (uri === undefined || own === undefined) return undefined;
  const region = env.UPLOADS_REGION ?? env.AWS_REGION ?? regionOf(env.ENCODER_URL ?? '');
  return openUploads({ uri, region, endpoint, keys: own });
}
