// Vectors of frames become those of the segments that they lie in, and of the whole video. Pure.
import type { VideoSpan } from '../../../contracts/src/bulk/video.ts';
import { CoreError } from '../../core/errors.ts';
import { cutAndNormalise, isUnit } from '../../core/vectors/vectors.ts';

/** A part of a video and its vector, at unit length and of full length. */
export interface VideoPart {
  span: VideoSpan;
  vector: Float32Array;
}
export interface VideoParts {
  /** In their order in time. */
  segments: VideoPart[];
  whole: VideoPart;
}

export interface SegmentOptions {
  segmentSeconds: number;
  /** Length of the video. */
  seconds: number;
  /** When a frame is shown. */
  timeOf(frame: number): number;
  /** Told of every frame. */
  onFrame?: (() => void) | undefined;
}

/** A time that is the beginning of a segment must not fall into the one before by rounding. */
const EPSILON = 1e-6;

/**
 * Of both the mean of the frames' unit vectors, at unit length, as of an item of several images. The whole is the mean of all frames and
 * not of the segments: every frame counts the same, and a job with other segments gives the same vector. Throws a CoreError
 * where a vector is not finite.
 */
export async function joinFrames(
  vectors: AsyncIterable<Float32Array>,
  { segmentSeconds, seconds, timeOf, onFrame }: SegmentOptions,
): Promise<VideoParts> {
  const segments = new Map<number, Sum>();
  const whole = newSum();
  for await (const vector of vectors) {
    if (!isUnit(vector)) throw notFinite();
    const at = Math.floor(timeOf(whole.frames) / segmentSeconds + EPSILON);
    const segment = segments.get(at) ?? newSum();
    segments.set(at, segment);
    add(segment, vector);
    add(whole, vector);
    onFrame?.();
  }
  const end = Math.max(seconds, timeOf(whole.frames - 1));
  return {
    segments: [...segments].map(([at, sum]) =>
      partOf(sum, at * segmentSeconds, Math.min((at + 1) * segmentSeconds, end)),
    ),
    whole: partOf(whole, 0, end),
  };
}

interface Sum {
  total: Float64Array;
  frames: number;
}

const newSum = (): Sum => ({ total: new Float64Array(0), frames: 0 });

function add(sum: Sum, vector: Float32Array): void {
  if (sum.frames === 0) sum.total = new Float64Array(vector.length);
  for (let i = 0; i < vector.length; i++) sum.total[i] = (sum.total[i] ?? 0) + (vector[i] ?? Number.NaN);
  sum.frames += 1;
}

function partOf({ total, frames }: Sum, start: number, end: number): VideoPart {
  // That of one frame stays as it is, to the bit.
  const vector = frames === 1 ? Float32Array.from(total) : cutAndNormalise(total, total.length);
  if (!isUnit(vector)) throw notFinite();
  return { span: { start_seconds: inMillis(start), end_seconds: inMillis(end), frames }, vector };
}

const inMillis = (seconds: number): number => Math.round(seconds * 1000) / 1000;

function notFinite(): CoreError {
  return new CoreError(
    'non_finite_embedding',
    "the model's output for a frame of the video is not a finite unit vector.",
  );
}
