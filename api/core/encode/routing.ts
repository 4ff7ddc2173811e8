// Which encoder the images of a request go to, and why. Pure: everything that decides is an argument.
import type { ImageRoute, RouteReason, RoutingReceipt } from '../../../contracts/src/api/encode.ts';

/** An encoder that answers while the request waits. */
export type Answering = Exclude<ImageRoute, 'batch'>;

/** `absent`: not part of this deployment; `ready`; a number: it failed several times, seconds until it is asked again. */
export type Standing = 'absent' | 'ready' | number;

/** What the caller said of how it wants to be answered. */
export interface Preference {
  /** An answer now, that a job was begun, is as good as vectors later. */
  job: boolean;
  encoder?: Answering | undefined;
  /** Seconds for which the caller waits. */
  seconds?: number | undefined;
}

/** What is said of a request where there may be several encoders. */
export interface RoutingOptions {
  prefer: Preference;
  /** Told which one answered, and why that one. */
  onRoute(receipt: RoutingReceipt): void;
}

export interface Question {
  images: number;
  /** Of all their files. */
  bytes: number;
  /** Milliseconds until the answer is due. */
  deadlineMs: number;
  /** What the CPU is expected to take for them. */
  expectedMs: number;
  prefer: Preference;
  backends: Readonly<Record<ImageRoute, Standing>>;
  /** Of the caller's quota; Infinity where there is none. */
  imagesLeft: number;
}

/** Nobody encodes the images. `none`: there is no encoder; `all_pause`: each failed several times in a row. */
export interface Refusal {
  route: null;
  reason: 'over_budget' | 'none' | 'all_pause';
  retryAfterSeconds?: number;
}

/**
 * From here on a request is large: the GPU takes it where there is one. Below, a GPU that stands still most of the time would have to be
 * woken for work that the CPU does while the caller waits.
 */
export const LARGE = { images: 16, bytes: 4 * 1024 * 1024 } as const;

/** The first rule that applies decides; a backend that pauses is passed over for the other, whatever the rule. */
export function chooseRoute(question: Question): RoutingReceipt | Refusal {
  const { images, prefer, backends, imagesLeft } = question;
  if (images > imagesLeft) return { route: null, reason: 'over_budget' };
  if (prefer.job && backends.batch === 'ready') return { route: 'batch', reason: 'asked' };
  const { route, reason } = wanted(question);
  const other = route === 'lambda_cpu' ? 'lambda_gpu' : 'lambda_cpu';
  if (backends[route] === 'ready') return { route, reason };
  if (backends[other] === 'ready') return { route: other, reason: 'other_pauses' };
  const pauses = [backends[route], backends[other]].filter((standing) => typeof standing === 'number');
  if (pauses.length === 0) return { route: null, reason: 'none' };
  return { route: null, reason: 'all_pause', retryAfterSeconds: Math.min(...pauses) };
}

/** Among the encoders that there are, whether they pause or not. */
function wanted(question: Question): { route: Answering; reason: RouteReason } {
  const { images, bytes, deadlineMs, expectedMs, prefer, backends } = question;
  const asked = prefer.encoder;
  const noJobs: { reason?: RouteReason } = prefer.job ? { reason: 'no_jobs' } : {};
  const [hasCpu, hasGpu] = [backends.lambda_cpu !== 'absent', backends.lambda_gpu !== 'absent'];
  if (!hasCpu || !hasGpu) {
    const only = hasGpu ? 'lambda_gpu' : 'lambda_cpu';
    if (asked === only) return { route: only, reason: 'asked', ...noJobs };
    return { route: only, reason: asked === undefined ? 'only_one' : 'not_there', ...noJobs };
  }
  if (asked !== undefined) return { route: asked, reason: 'asked', ...noJobs };
  if (images >= LARGE.images || bytes >= LARGE.bytes) return { route: 'lambda_gpu', reason: 'large', ...noJobs };
  if (expectedMs > deadlineMs) return { route: 'lambda_gpu', reason: 'deadline', ...noJobs };
  return { route: 'lambda_cpu', reason: 'small', ...noJobs };
}
