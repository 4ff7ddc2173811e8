// Chooses the frames of a video that are embedded, and says when each of them is shown. Pure.
import { VIDEO_LIMITS, type VideoSampling } from '../../../contracts/src/bulk/video.ts';
import { CoreError } from '../../core/errors.ts';
import type { VideoFacts } from './probe.ts';

export interface FramePlan {
  /** ffmpeg's filters, which give the frames of a video as pictures of one size. */
  filters: string;
  /** Frames that the decoder is asked for. */
  asked: number;
  /** Frames that the video may have: one more tells that it has more than its packets said. */
  most: number;
  /** From one frame to the next. */
  gapSeconds: number;
  /** Seconds from the first frame of the video at which a frame that is taken is shown. */
  timeOf(frame: number): number;
}

/** Rounding must not cost the last frame, nor bring one behind the end. */
const EPSILON = 1e-6;
/** Colours by the standard's own formula, to the same bits whatever processor computes them. */
const COLOURS = 'bicubic+accurate_rnd+full_chroma_int+bitexact';

/** Throws a CoreError where a video would have more frames than the job allows. */
export function planFrames(facts: VideoFacts, { frames }: VideoSampling): FramePlan {
  const { width, height, seconds } = facts;
  const isCounted = 'count' in frames;
  const rate = isCounted ? frames.count / seconds : frames.per_second;
  const offset = isCounted ? 0.5 / rate : 0;
  const wanted = isCounted ? frames.count : Math.ceil(seconds * rate - EPSILON);
  if (!isCounted && wanted > frames.most) throw tooManyFrames(wanted, frames.most);
  return {
    // `round=up` gives the frame that is shown at a time: the last that is not later. The clock starts with the first frame.
    filters: [
      `setpts=PTS-STARTPTS-${offset.toFixed(9)}/TB`,
      `fps=fps=${rate.toFixed(9)}:round=up:start_time=0`,
      `scale=${width}:${height}:flags=${COLOURS}`,
      'format=rgb24',
    ].join(','),
    ...(isCounted ? { asked: frames.count, most: frames.count } : { asked: frames.most + 1, most: frames.most }),
    gapSeconds: 1 / rate,
    timeOf: (frame) => frame / rate + offset,
  };
}

export function tooManyFrames(has: number, most: number): CoreError {
  const [wanted, allowed, ever] = [has, most, VIDEO_LIMITS.frames].map((count) => count.toLocaleString('en-US'));
  const message = `the video would have ${wanted} frames or more, and the job takes ${allowed} of a video`;
  const advice = `take fewer a second, take a number of frames of every video, or allow more (at most ${ever})`;
  return new CoreError('too_many_items', `${message}: ${advice}.`);
}
