// Chooses the encoder for the images of a request, or a job in its place, and says why. Pure: everything that decides is an argument.
import type { ImageRoute, RouteReason, RoutingReceipt } from '../../../contracts/src/api/encode.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';

/** An encoder that answers while the request waits. */
export type Answering = Exclude<ImageRoute, 'batch'>;

/** `absent`: not part of this deployment; `ready`; a number: it failed several times, seconds until it is asked again. */
export type Standing = 'absent' | 'ready' | number;

/** What the caller said of how it wants to be answered. */
export interface Preference {
  /** `asked`: an answer now, that a job was begun. `if_late`: the same where vectors do not come in time. Absent: neither was said. */
  job?: 'asked' | 'if_late' | undefined;
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

/** What a request says of itself before its images are encoded. `jobs`: whether its caller may begin one. */
export type RouteQuestion = Pick<Question, 'images' | 'bytes' | 'prefer'> & { jobs: Standing };

/** The images are not encoded. `all_pause`: each encoder failed several times in a row; `too_many`: for a request, where no job can be begun. */
export interface Refusal {
  route: null;
  reason: 'over_budget' | 'too_many' | 'no_encoder' | 'all_pause';
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
  const hasJobs = backends.batch === 'ready';
  if (hasJobs && prefer.job === 'asked') return { route: 'batch', reason: 'asked' };
  if (images > LIMITS.images) return { route: hasJobs ? 'batch' : null, reason: 'too_many' };
  const answering = chooseAnswering(question);
  const wouldWait = answering.route === null ? answering.reason : lateness(answering.route, question);
  if (hasJobs && prefer.job === 'if_late' && wouldWait !== undefined) return { route: 'batch', reason: wouldWait };
  return answering;
}

interface Waiting {
  route: null;
  reason: 'no_encoder' | 'all_pause';
  retryAfterSeconds?: number;
}

function chooseAnswering(question: Question): { route: Answering; reason: RouteReason } | Waiting {
  const { backends } = question;
  const { route, reason } = wanted(question);
  const other = route === 'lambda_cpu' ? 'lambda_gpu' : 'lambda_cpu';
  if (backends[route] === 'ready') return { route, reason };
  if (backends[other] === 'ready') return { route: other, reason: 'other_pauses' };
  const pauses = [backends[route], backends[other]].filter((standing) => typeof standing === 'number');
  if (pauses.length === 0) return { route: null, reason: 'no_encoder' };
  return { route: null, reason: 'all_pause', retryAfterSeconds: Math.min(...pauses) };
}

/** Only of the processors it is known what they take. */
function lateness(route: Answering, { expectedMs, deadlineMs }: Question): 'deadline' | undefined {
  return route === 'lambda_cpu' && expectedMs > deadlineMs ? 'deadline' : undefined;
}

/** Among the encoders that there are, whether they pause or not. */
function wanted(question: Question): { route: Answering; reason: RouteReason } {
  const { images, bytes, deadlineMs, expectedMs, prefer, backends } = question;
  const asked = prefer.encoder;
  const noJobs: { reason?: RouteReason } = prefer.job === 'asked' ? { reason: 'no_jobs' } : {};
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
