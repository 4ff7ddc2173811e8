// The options of `npm run encode` that say how videos are read.
import { numberOf, wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { SAMPLING_LIMITS, VIDEO_LIMITS, type VideoSampling } from '../../../contracts/src/bulk/video.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

export const VIDEO_OPTIONS = {
  video: { type: 'boolean' },
  'frames-per-second': { type: 'string' },
  frames: { type: 'string' },
  'max-frames': { type: 'string' },
  'segment-seconds': { type: 'string' },
} as const;

const { per_second: RATES, segment_seconds: LENGTHS } = SAMPLING_LIMITS;
const DEFAULTS = { perSecond: 1, most: 3600, segmentSeconds: 10 };

export const VIDEO_HELP = `\
  --video           reads videos, too: a vector for each segment and one for the whole video; needs ffmpeg
  --frames-per-second N  of a video that are embedded, ${RATES.from} to ${RATES.to} (default ${DEFAULTS.perSecond})
  --max-frames N    a video that would have more is refused (default ${DEFAULTS.most}, most ${VIDEO_LIMITS.frames})
  --frames N        so many of every video, evenly spaced, in place of so many a second
  --segment-seconds N    length of a segment of a video (default ${DEFAULTS.segmentSeconds})
`;

type Values = { video?: boolean | undefined } & {
  [name in Exclude<keyof typeof VIDEO_OPTIONS, 'video'>]?: string | undefined;
};

/** Undefined where videos are not read. */
export function videoOf(values: Values): VideoSampling | undefined {
  const { video, frames, 'frames-per-second': perSecond, 'max-frames': most, 'segment-seconds': seconds } = values;
  if (!video) {
    const names = Object.keys(VIDEO_OPTIONS) as (keyof Values)[];
    const given = names.find((name) => values[name] !== undefined);
    if (given) throw new UserError(`--${given} is for videos: give --video, too`);
    return undefined;
  }
  if (frames !== undefined && (perSecond !== undefined || most !== undefined)) {
    throw new UserError(
      '--frames is a number of frames of every video: leave out --frames-per-second and --max-frames',
    );
  }
  const count = (name: string, value: string): number =>
    wholeNumberOf(name, value, { from: 1, to: VIDEO_LIMITS.frames });
  return {
    frames:
      frames === undefined
        ? {
            per_second: numberOf('--frames-per-second', perSecond ?? `${DEFAULTS.perSecond}`, RATES),
            most: count('--max-frames', most ?? `${DEFAULTS.most}`),
          }
        : { count: count('--frames', frames) },
    segment_seconds: numberOf('--segment-seconds', seconds ?? `${DEFAULTS.segmentSeconds}`, LENGTHS),
  };
}
