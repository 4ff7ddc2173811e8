// The Worker's bindings and variables as a schema; wrangler.toml and `npm start` set them.
import * as z from 'zod';
import { Plan } from '../../contracts/src/api/limits.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import type { Prices } from '../core/plan.ts';
import type { R2Reader } from '../registry/stores/r2.ts';
import type { KeyNamespace } from './access/key-cache.ts';
import type { KeyUsage } from './access/key-usage.ts';
import type { Dataset } from './observe/finished.ts';

const isFetcher = (value: unknown) => typeof value === 'object' && value !== null && 'fetch' in value;
const isDataset = (value: unknown) => typeof value === 'object' && value !== null && 'writeDataPoint' in value;
const isNamespace = (value: unknown) => typeof value === 'object' && value !== null && 'getByName' in value;
const isLimiter = (value: unknown) => typeof value === 'object' && value !== null && 'limit' in value;
const isBucket = (value: unknown) => typeof value === 'object' && value !== null && 'get' in value;

const bucket = z.string().regex(/^s3:\/\/[a-z0-9][a-z0-9.-]+$/);
const price = z.coerce.number().nonnegative().optional();

const Variables = z.object({
  /** Where the image encoder listens, without a slash at the end; absent: images are refused with a reason. */
  [ENVARS.encoderUrl]: z.url().optional(),
  /** Where the service of bulk jobs listens, without a slash at the end; absent: jobs are refused with a reason. */
  [ENVARS.jobsUrl]: z.url().optional(),
  /** Instead of it: where bulk jobs are kept, and the queue and definition by which AWS Batch runs them. All three, or none. */
  [ENVARS.jobsStore]: bucket.optional(),
  [ENVARS.jobsQueue]: z.string().startsWith('arn:').optional(),
  [ENVARS.jobsDefinition]: z.string().startsWith('arn:').optional(),
  /** The same for machines with a GPU: both, or neither. */
  [ENVARS.jobsGpuQueue]: z.string().startsWith('arn:').optional(),
  [ENVARS.jobsGpuDefinition]: z.string().startsWith('arn:').optional(),
  /** Batch's own name of another endpoint. */
  AWS_ENDPOINT_URL_BATCH: z.url().optional(),
  /** Where one with a GPU listens; absent: there is none. */
  [ENVARS.encoderGpuUrl]: z.url().optional(),
  /** What a call to either may carry: where it is a Lambda function, 6 MB of base64. */
  [ENVARS.encoderMaxBytes]: z.coerce.number().int().positive().optional(),
  /** Bucket through which larger files reach it; absent: they are refused. */
  [ENVARS.uploads]: bucket.optional(),
  /** S3's own name of another endpoint of that bucket, and what signs there where that is not what signs for AWS. */
  AWS_ENDPOINT_URL_S3: z.url().optional(),
  UPLOADS_ACCESS_KEY_ID: z.string().min(1).optional(),
  UPLOADS_SECRET_ACCESS_KEY: z.string().min(1).optional(),
  UPLOADS_REGION: z.string().min(1).optional(),
  [ENVARS.encoderSeconds]: z.coerce.number().positive().optional(),
  /** Keys that sign calls to an encoder behind IAM; without them calls are sent as they are. Secrets, not variables. */
  AWS_ACCESS_KEY_ID: z.string().min(1).optional(),
  AWS_SECRET_ACCESS_KEY: z.string().min(1).optional(),
  AWS_SESSION_TOKEN: z.string().min(1).optional(),
  /** Instead of keys: where this Worker answers (https://…), its private key (a secret), and the role that it takes. */
  [ENVARS.workerIssuer]: z
    .url()
    .refine((url) => !url.endsWith('/'), 'ends with a slash')
    .optional(),
  WORKER_IDENTITY: z.string().min(1).optional(),
  [ENVARS.workerRole]: z.string().min(1).optional(),
  /** STS's own name of another endpoint. */
  AWS_ENDPOINT_URL_STS: z.url().optional(),
  /** Region of an encoder whose address does not name it, as a function URL does. */
  AWS_REGION: z.string().min(1).optional(),
  /** R2 bucket with the model registry; absent: the embedded model only. */
  MODELS: z.custom<R2Reader>(isBucket, 'not a bucket').optional(),
  /** Analytics Engine dataset for a point per request; absent: there are none. */
  REQUEST_POINTS: z.custom<Dataset>(isDataset, 'not a dataset').optional(),
  /** The static files: the embedded model's, and the page for the path that the Worker answers first. Absent: there is neither. */
  ASSETS: z.custom<{ fetch(request: Request): Promise<Response> }>(isFetcher, 'not static files').optional(),
  /** Which deployment of the Worker this is; absent: told apart by the service's version alone. */
  DEPLOYMENT: z.object({ id: z.string() }).optional(),
  /** KV namespace with the API keys; absent: there are none. */
  KEYS: z.custom<KeyNamespace>(isBucket, 'not a KV namespace').optional(),
  /** Counts for each key (access/key-usage.ts); absent: keys have no rate and no quota. */
  USAGE: z.custom<DurableObjectNamespace<KeyUsage>>(isNamespace, 'not a namespace of Durable Objects').optional(),
  /** The platform's limiter, before that; absent: there is none. */
  FLOOD: z.custom<RateLimit>(isLimiter, 'not a rate limiter').optional(),
  /** Who is answered without a key: see access/policy.ts. */
  [ENVARS.access]: z.string().optional(),
  /** Origins of pages that may read answers, separated by spaces or commas; absent: none. `*`: every page. */
  [ENVARS.corsOrigins]: z.string().optional(),
  /** Seconds for which a key is used before it is read again: how long a revocation may take to arrive. */
  [ENVARS.keySeconds]: z.coerce.number().positive().max(60).default(30),
  /** Where vectors are kept: in the isolate's memory, or there and in the platform's cache. */
  CACHE: z.enum(['off', 'memory', 'edge']).default('off'),
  /** The plan of Cloudflare Workers that this is deployed on: what a request may hold follows from it. */
  PLAN: Plan.default('paid'),
  /** What a dry run estimates with, in PRICE_CURRENCY (such as EUR); what has no price costs nothing. */
  PRICE_PER_MILLION_TOKENS: price,
  PRICE_PER_THOUSAND_IMAGES: price,
  PRICE_CURRENCY: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .optional(),
  /**
   * Runs the transformers: `wasm` is our own engine for students, with relaxed SIMD where the runtime has it, `wasm-plain`
   * the same without; both leave other text towers to onnxruntime-web. `onnx` is onnxruntime-web for all of them.
   */
  TEXT_ENGINE: z.enum(['onnx', 'wasm', 'wasm-plain']).default('wasm'),
  [ENVARS.modelName]: z.string().optional(),
  [ENVARS.registrySeconds]: z.coerce.number().positive().default(60),
});
export const Env = Variables.refine(
  (env) => (env.PRICE_CURRENCY === undefined) === (pricesIn(env) === undefined),
  'PRICE_CURRENCY goes with PRICE_PER_MILLION_TOKENS, PRICE_PER_THOUSAND_IMAGES or both',
)
  .refine(
    ({ JOBS_STORE: store, JOBS_QUEUE: queue, JOBS_DEFINITION: definition }) =>
      new Set([store, queue, definition].map((value) => value === undefined)).size === 1,
    'JOBS_STORE, JOBS_QUEUE and JOBS_DEFINITION go together',
  )
  .refine(
    ({ JOBS_QUEUE: cpu, JOBS_GPU_QUEUE: queue, JOBS_GPU_DEFINITION: definition }) =>
      (queue === undefined) === (definition === undefined) && (queue === undefined || cpu !== undefined),
    'JOBS_GPU_QUEUE and JOBS_GPU_DEFINITION go together, beside JOBS_QUEUE',
  );
export type Env = z.infer<typeof Env>;

export function pricesIn({
  PRICE_PER_MILLION_TOKENS: perMillionTokens,
  PRICE_PER_THOUSAND_IMAGES: perThousandImages,
  PRICE_CURRENCY: currency = '',
}: z.infer<typeof Variables>): Prices | undefined {
  if (perMillionTokens === undefined && perThousandImages === undefined) return undefined;
  return { perMillionTokens, perThousandImages, currency };
}
