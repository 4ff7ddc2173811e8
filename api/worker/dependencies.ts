// The parts that the HTTP application is put together from, what a handler is given, and what is noted about a request.
import type { RoutingReceipt } from '../../contracts/src/api/encode.ts';
import type { ErrorCode } from '../../contracts/src/api/error.ts';
import type { KeyTerms } from '../../contracts/src/api/limits.ts';
import type { Door } from '../../contracts/src/api/operation.ts';
import type { OperationId } from '../../contracts/src/api/operations.ts';
import type { UploadRequest, UploadResponse } from '../../contracts/src/api/tasks/upload.ts';
import type { Left } from '../../contracts/src/bulk/quota.ts';
import type { ImageEncoder } from '../core/embed.ts';
import type { VectorCache } from '../core/encode/cache.ts';
import type { Refusal, RouteQuestion } from '../core/encode/routing.ts';
import type { Prices } from '../core/plan.ts';
import type { Reply } from './http/reply.ts';
import type { Trace } from './http/trace.ts';
import type { Access, Asker } from './middleware/access.ts';
import type { Admission } from './middleware/admission.ts';
import type { Cors } from './middleware/cors.ts';
import type { ModelProvider } from './model-provider.ts';

export interface UploadStore {
  /** Undefined where no such file was put. */
  read(digest: string): Promise<Uint8Array | undefined>;
  presign(file: UploadRequest): Promise<UploadResponse>;
  /** Where bulk jobs read a file that was put; absent: they cannot. */
  jobUri?(digest: string): string;
}

export interface Dependencies {
  /** Told of every request once it is answered. */
  observers: Observer[];
  /** Counters of this isolate as text. */
  metrics(now: Now): string;
  /** A name of the isolate, by which answers and counters can be told from those of others. */
  isolate: string;
  provider: ModelProvider;
  images: ImageEncoder;
  /** Says where the images of a request would go; absent: to `images`, whatever is asked for. */
  routeImages?: ((asked: RouteQuestion) => RoutingReceipt | Refusal) | undefined;
  /** Absent: everything is computed. */
  cache?: VectorCache | undefined;
  /** Asks the service of bulk jobs; absent: there is none. */
  jobs?: AskJobs | undefined;
  admission: Admission;
  access: Access;
  cors: Cors;
  /** Version of this service. */
  version: string;
  /** What a dry run estimates with; absent: nothing has a price. */
  prices?: Prices | undefined;
  /** Where files may be put apart from requests; absent: nowhere. */
  uploads?: UploadStore | undefined;
  /** Documents by path that say which keys this Worker signs with; absent: it has no identity of its own. */
  identity?: ReadonlyMap<string, () => Promise<object>> | undefined;
  /** Serves the static files; absent where the Worker runs without them. */
  files?: ((request: Request) => Promise<Response>) | undefined;
}

/** `path` as it is here: the service has the same addresses. Throws a CoreError where it does not answer. */
export type AskJobs = (path: string, init: RequestInit) => Promise<Response>;

/** What is known of a request by its end: for logs, metrics, quotas and the headers of its answer. Never content. */
export interface RequestRecord extends Asker {
  requestId: string;
  /** Undefined where no operation has that path. */
  operation: OperationId | undefined;
  /** In whose form errors are written; a handler that finds another form in the body changes it. */
  door: Door;
  /** Id of the model that answered. */
  model?: string;
  tokens: number;
  images: number;
  /** What was charged for a job and is given back, because it ended before that was done. */
  returned?: { tokens: number; images: number };
  /** Pixels of the images, where they are known. */
  pixels?: number;
  /** Which image encoder answered; absent: none was asked. */
  routing?: RoutingReceipt;
  /** What the cache knew of the request, or that its client has the answer; absent: neither was asked. */
  cache?: 'hit' | 'partial' | 'miss' | 'not_modified';
  /** What went wrong. */
  code?: ErrorCode;
  trace: Trace;
}

export interface FinishedRequest extends RequestRecord {
  method: string;
  status: number;
  /** Wall time. On the platform the clock moves with input and output only. */
  ms: number;
}

export type Observer = (request: FinishedRequest) => void;

/** What answers now. */
export interface Now {
  model: { id: string; version: string; space_id: string };
}

/** One request on its way through a handler. */
export interface Call {
  request: Request;
  /** Values of the `{name}` parts of the path. */
  params: Record<string, string>;
  deps: Dependencies;
  record: RequestRecord;
  /** Throws where the caller's quota leaves too little of what is needed; absent: a request may hold as much as any. */
  checkQuota?: ((needed: { tokens: number; images: number }) => void) | undefined;
  /** What is left of the quota of the caller's key; absent: nothing is counted. */
  left?: Left | undefined;
  /** How much the caller's key may ask for; absent: nothing is counted. */
  keyTerms?: KeyTerms | undefined;
}

export type Handler = (call: Call) => Promise<Reply>;
