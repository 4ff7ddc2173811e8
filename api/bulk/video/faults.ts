// Errors of videos in our own words: ffmpeg's hold addresses in memory, which differ in every run.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { CoreError } from '../../core/errors.ts';
import { MISSING } from './program.ts';

const PIXELS = LIMITS.image_pixels.toLocaleString('en-US');

/** What makes a video unreadable, by what the program said last; the first that fits. */
const REFUSALS: [said: RegExp, code: CoreError['code'], message: string][] = [
  [/Unrecognized option|Option not found/, 'not_configured', MISSING],
  [/max pixel count/, 'too_many_pixels', `a frame of the video has more than ${PIXELS} pixels: make it smaller.`],
  [/moov atom not found/, 'broken_image', 'the video is cut off or damaged: it lacks the index of an MP4 or MOV file.'],
  [
    /not on whitelist|Invalid data found when processing input/,
    'unsupported_image_type',
    'the file is no video in MP4, MOV, Matroska, WebM, AVI, MPEG, ASF, FLV or Ogg: convert it.',
  ],
  [/Decoder .* not found|no decoder/i, 'unsupported_image_type', 'ffmpeg decodes no video of that kind: convert it.'],
];
const BROKEN = 'the video is cut off or damaged: no frame of it can be decoded to the end.';

/** Of one that could not be read to its end. */
export function refusalOf(said: string): CoreError {
  const [, code, message] = REFUSALS.find(([pattern]) => pattern.test(said)) ?? [];
  return new CoreError(code ?? 'broken_image', message ?? BROKEN);
}

const CUT = 'The video is cut off: its end is missing.';
const DAMAGED = 'Parts of the video are damaged, and were decoded as well as they can be.';
/** Of what we write, where a video changes its clock. */
const OURS = /non monotonically increasing dts to muxer/;

/** Of one that was read all the same. */
export function warningsOf(said: string): string[] {
  const lines = said.split('\n').filter((line) => line.trim() !== '' && !OURS.test(line));
  const isCut = lines.some((line) => /partial file|ended prematurely|truncat/i.test(line));
  if (isCut) return [CUT];
  return lines.length > 0 ? [DAMAGED] : [];
}
