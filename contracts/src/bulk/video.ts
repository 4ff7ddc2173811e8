// Settings by which a bulk job reads videos: frames that are embedded, and the length of segments that have a vector each.
import * as z from 'zod';

/** What a video may be; beyond it the video is refused, and the others of its job are not. */
export const VIDEO_LIMITS = {
  /** Of its file, which an object store gives up as a whole before it is read: containers have their index at either end. */
  bytes: 4 * 2 ** 30,
  /** Frames of it that are embedded, whatever a job asks for. */
  frames: 10_000,
  /** All of it is decoded, also where few frames are taken. */
  seconds: 6 * 60 * 60,
} as const;

/** What a job may ask for. */
export const SAMPLING_LIMITS = {
  per_second: { from: 0.01, to: 60 },
  segment_seconds: { from: 0.1, to: VIDEO_LIMITS.seconds },
} as const;

const frames = z.int().min(1).max(VIDEO_LIMITS.frames);

export const FramesPerSecond = z
  .strictObject({
    per_second: z
      .number()
      .min(SAMPLING_LIMITS.per_second.from)
      .max(SAMPLING_LIMITS.per_second.to)
      .describe('Frames of a second, from the first one on: what is shown at 0, 1 / N, 2 / N, … seconds.'),
    most: frames.describe('Frames of a video at most: one that would have more is refused before it is decoded.'),
  })
  .meta({ title: 'FramesPerSecond', description: 'As many frames as a video is long.' });

export const FramesOfVideo = z
  .strictObject({
    count: frames.describe('Frames of a video: what is shown in the middle of each of so many equal parts of it.'),
  })
  .meta({ title: 'FramesOfVideo', description: 'As many frames of every video.' });

export const VideoSampling = z
  .strictObject({
    frames: z.union([FramesPerSecond, FramesOfVideo]).describe('Frames that are embedded.'),
    segment_seconds: z
      .number()
      .min(SAMPLING_LIMITS.segment_seconds.from)
      .max(SAMPLING_LIMITS.segment_seconds.to)
      .describe(
        'Length of a segment in seconds. Each one in which a frame lies has a vector; beside them the whole video has one.',
      ),
  })
  .meta({ title: 'VideoSampling', description: 'How videos become vectors.' });
export type VideoSampling = z.infer<typeof VideoSampling>;

/** Frames that a video may have in such a job. */
export function mostFrames({ frames }: VideoSampling): number {
  return 'count' in frames ? frames.count : frames.most;
}

export const VideoSpan = z
  .strictObject({
    start_seconds: z.number().nonnegative().describe('Where it begins, in seconds behind the first frame.'),
    end_seconds: z.number().nonnegative().describe('Where it ends.'),
    frames: z.int().positive().describe('Frames that were embedded: the vector is their mean, at unit length.'),
  })
  .meta({ title: 'VideoSpan', description: 'The part of a video that a vector is of: a segment, or all of it.' });
export type VideoSpan = z.infer<typeof VideoSpan>;
