// Composition root of the Worker: its bindings and the files of its bundle become the application's dependencies.

import { waitUntil } from 'cloudflare:workers';
import { PLAN_LIMITS } from '../../contracts/src/api/limits.ts';
import { version } from '../../package.json';
import type { VectorCache } from '../core/encode/cache.ts';
import { CoreError } from '../core/errors.ts';
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
import { openAwsServices } from './aws-services.ts';
import { createEdgeStore } from './cache/edge.ts';
import { createMemoryStore } from './cache/memory.ts';
import { createObjectCache, createProofs } from './cache/objects.ts';
import { createVectorCache } from './cache/vector-cache.ts';
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

/** The Worker's handler. `onnxruntime` makes the engine for models that our own does not run; absent: they are refused. */
export function createService(onnxruntime: (alone: Alone) => TextEngine = () => notBuiltIn) {
  let made: ReturnType<typeof assemble> | undefined;
  const assembled = (env: Env) => {
    made ??= assemble(Env.parse(env), onnxruntime);
    return made;
  };
  return {
    fetch: (request, env, context) => assembled(env).app.fetch(request, env, context),
    // Every few minutes (wrangler.toml): ends of bulk jobs that could not be told of before, or were not noticed.
    async scheduled(_, env) {
      const { ownJobs } = assembled(env);
      if (!ownJobs) return;
      const { tellLate } = await import('./jobs/service.ts');
      await tellLate(await ownJobs());
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
  const { ENCODER_URL: cpu, ENCODER_GPU_URL: gpu, MODELS: bucket, ASSETS: assets, REQUEST_POINTS: points } = env;
  const near = env.CACHE === 'edge' ? createObjectCache({ cache: caches.default, background: waitUntil }) : undefined;
  const registry = bucket && { ...openR2Reader(bucket), near };
  const { identity, toEncoder, uploads, jobs, ownJobs } = openAwsServices(env, { registry, background: waitUntil });
  const { encode: images, route: routeImages } = createImageRouter(
    { lambda_cpu: cpu, lambda_gpu: gpu },
    {
      send: toEncoder,
      uploads,
      maxBytes: env.ENCODER_MAX_BYTES,
      deadlineMs: env.ENCODER_SECONDS && env.ENCODER_SECONDS * 1000,
    },
  );
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
        name: env.MODEL_NAME,
        seconds: env.MODEL_REGISTRY_SECONDS,
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
    identity,
    uploads,
    observers,
    metrics: metrics.render,
  });
  return { app, ownJobs };
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
