// The image encoders of a deployment as one: each request goes to the one that the policy chooses, and to the other where that fails.
import type { RoutingReceipt } from '../../../contracts/src/api/encode.ts';
import type { EncodedFile, ImageEncoder, ImageOptions, Space } from '../../core/embed.ts';
import {
  type Answering,
  chooseRoute,
  type Preference,
  type Refusal,
  type RouteQuestion,
  type Standing,
} from '../../core/encode/routing.ts';
import { CoreError } from '../../core/errors.ts';
import { unavailable } from './answer.ts';
import { createImageBackend, type ImageBackend, type ImageClientOptions } from './client.ts';

/** For all that a request asks of the encoders. */
const DEADLINE_MS = 30_000;
/** What an image is expected to take before any was measured: several times what one takes. */
const FIRST_MS = 500;
/** Of that time, what is left when another encoder was asked before: one that has less has not failed. */
const FAIR_SHARE = 0.5;
/** Weight of the newest request in what an image is expected to cost. */
const NEWEST = 0.2;

interface Errand {
  files: Uint8Array[];
  space: Space;
  options: ImageOptions;
  /** When the answer is due, by the clock. */
  ends: number;
}

export interface RouterOptions extends ImageClientOptions {
  /** For all that a request asks of the encoders, unless its caller waits for less. */
  deadlineMs?: number | undefined;
}

export interface ImageRouter {
  encode: ImageEncoder;
  /** Where the images of a request would go at this moment. */
  route(asked: RouteQuestion): RoutingReceipt | Refusal;
}

/** `urls`: of the encoders that this deployment has. */
export function createImageRouter(
  urls: Readonly<Partial<Record<Answering, string | undefined>>>,
  { deadlineMs = DEADLINE_MS, ...options }: RouterOptions = {},
): ImageRouter {
  const backends: Partial<Record<Answering, ImageBackend>> = {};
  for (const route of ['lambda_cpu', 'lambda_gpu'] as const) {
    const { [route]: url } = urls;
    if (url !== undefined) backends[route] = createImageBackend(url, options);
  }
  let msPerImage = FIRST_MS;
  const standings = (): Record<Answering, Standing> => ({
    lambda_cpu: backends.lambda_cpu?.standing() ?? 'absent',
    lambda_gpu: backends.lambda_gpu?.standing() ?? 'absent',
  });

  async function encodeAt(route: Answering, { files, space, options, ends }: Errand) {
    const { [route]: backend } = backends;
    if (backend === undefined) throw unavailable(`there is no ${route} here`);
    const started = Date.now();
    const left = Math.max(1, ends - started);
    const { prefer = {} } = options.routing ?? {};
    const isShort = dueIn(prefer) < deadlineMs || left < FAIR_SHARE * deadlineMs;
    const results = await backend.encode(files, space, { ...options, deadlineMs: left, isShort });
    if (route === 'lambda_cpu' && results.length > 0)
      msPerImage += NEWEST * ((Date.now() - started) / results.length - msPerImage);
    return results;
  }

  const dueIn = ({ seconds = Infinity }: Preference): number => Math.min(deadlineMs, seconds * 1000);
  const route: ImageRouter['route'] = ({ jobs, ...asked }) =>
    chooseRoute({
      ...asked,
      deadlineMs: dueIn(asked.prefer),
      expectedMs: asked.images * msPerImage,
      backends: { ...standings(), batch: jobs },
      // The caller's quota is asked elsewhere, with a sentence of its own.
      imagesLeft: Infinity,
    });

  const encode: ImageEncoder = async (files, space, options = { onError: 'fail' }) => {
    const { prefer = {}, onRoute } = options.routing ?? {};
    const bytes = files.reduce((sum, { length }) => sum + length, 0);
    // A job is begun by the operation that takes the request, before anything is encoded here.
    const chosen = route({ images: files.length, bytes, prefer, jobs: 'absent' });
    if (chosen.route === null) {
      const error = refusalError(chosen);
      if (options.onError === 'fail') throw error;
      return files.map(() => error);
    }
    const first = chosen.route === 'batch' ? 'lambda_cpu' : chosen.route;
    const errand = { files, space, options, ends: Date.now() + dueIn(prefer) };
    const [outcome, fellBack] = await withFallback(errand, first);
    const receipt: RoutingReceipt = fellBack ? { route: fellBack, reason: 'other_failed' } : chosen;
    onRoute?.(receipt);
    if (outcome instanceof CoreError) throw outcome;
    return outcome;
  };
  return { encode, route };

  /** The second element is the route that answered in the place of the first. */
  async function withFallback(
    errand: Errand,
    route: Answering,
  ): Promise<[(EncodedFile | CoreError)[] | CoreError, Answering | undefined]> {
    const outcome = await encodeAt(route, errand).catch(errorOrThrow);
    const other = route === 'lambda_cpu' ? 'lambda_gpu' : 'lambda_cpu';
    const missing = failedIn(outcome, errand.files.length);
    if (missing.length === 0 || standings()[other] !== 'ready' || Date.now() >= errand.ends)
      return [outcome, undefined];
    const files = missing.map((index) => errand.files[index] ?? new Uint8Array());
    const second = await encodeAt(other, { ...errand, files }).catch(errorOrThrow);
    if (second instanceof CoreError) return [outcome, undefined];
    if (outcome instanceof CoreError) return [second, other];
    const results = [...outcome];
    missing.forEach((index, place) => {
      const { [place]: result } = second;
      if (result !== undefined) results[index] = result;
    });
    return [results, other];
  }
}

/** Places of the files that another encoder may still encode: what is wrong with a file is wrong with it everywhere. */
function failedIn(outcome: (EncodedFile | CoreError)[] | CoreError, count: number): number[] {
  const isElsewhere = (result: unknown) =>
    result instanceof CoreError && (result.code === 'encoder_unavailable' || result.code === 'overloaded');
  if (outcome instanceof CoreError)
    return isElsewhere(outcome) ? Array.from({ length: count }, (_, index) => index) : [];
  return outcome.flatMap((result, index) => (isElsewhere(result) ? [index] : []));
}

function errorOrThrow(error: unknown): CoreError {
  if (error instanceof CoreError) return error;
  throw error;
}

function refusalError({ reason, retryAfterSeconds }: Refusal): CoreError {
  switch (reason) {
    case 'over_budget':
      return new CoreError('quota_exceeded', 'The API key has fewer images left than this request has.');
    case 'too_many':
      return new CoreError('too_many_items', 'The request has more images than are encoded while it waits.');
    case 'no_encoder':
      return unavailable('no image encoder is configured (ENCODER_URL)');
    case 'all_pause':
      return unavailable('it failed several times in a row and is given a pause', retryAfterSeconds);
  }
}
