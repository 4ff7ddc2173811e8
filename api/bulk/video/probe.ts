// Reads size and length of a video from its packets: its header is believed neither about its length nor about its frames.
import { createInterface } from 'node:readline';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { VIDEO_LIMITS } from '../../../contracts/src/bulk/video.ts';
import { CoreError } from '../../core/errors.ts';
import { deadlineOf, endOf } from './deadline.ts';
import { refusalOf } from './faults.ts';
import { type Start, startProgram } from './program.ts';

export interface VideoFacts {
  /** As it is shown: turned as its metadata say, with square pixels. */
  width: number;
  height: number;
  /** From its first frame to the end of its last one. */
  seconds: number;
}

/** A decoder that says nothing for this long is ended. */
const SILENT_SECONDS = 60;
/** As many as the longest video has at 240 frames a second. */
const MOST_PACKETS = VIDEO_LIMITS.seconds * 240;
/** Of a video of one frame, whose length its container need not say: a frame of 25 a second. */
const ONE_FRAME_SECONDS = 0.04;

const ENTRIES = [
  'format=nb_streams',
  'packet=pts_time,dts_time,duration_time,flags',
  'stream=width,height,sample_aspect_ratio',
  'stream_side_data=rotation',
].join(':');
/** The first video that is not the cover of a piece of music. */
const SELECTED = ['-select_streams', 'V:0', '-show_entries', ENTRIES, '-of', 'compact'];

/** Reads all packets and decodes none. Throws a CoreError where the file is no video that is read here. */
export async function probeVideo(start: Start): Promise<VideoFacts> {
  const running = await startProgram('ffprobe', start, { after: SELECTED });
  const deadline = deadlineOf(running, SILENT_SECONDS);
  const seen = { first: Infinity, end: -Infinity, packets: 0, described: '' };
  deadline.begin();
  for await (const line of createInterface({ input: running.output })) {
    deadline.begin();
    if (line.startsWith('packet|')) notePacket(seen, line);
    else if (line.includes('|')) seen.described += `${line}\n`;
    if (seen.packets > MOST_PACKETS) running.kill();
  }
  const late = `the video could not be read within ${SILENT_SECONDS} s.`;
  const { code, said } = await endOf(running, { deadline, start, late });
  if (seen.packets > MOST_PACKETS) throw tooLong(`more than ${MOST_PACKETS.toLocaleString('en-US')} frames`);
  if (code !== 0) throw refusalOf(said);
  if (seen.packets === 0) throw withoutPictures(seen.described);
  const seconds = seen.end - seen.first || ONE_FRAME_SECONDS;
  if (seconds > VIDEO_LIMITS.seconds) throw tooLong(`${(seconds / 3600).toFixed(1)} hours`);
  return { ...shownSize(seen.described), seconds };
}

function notePacket(seen: { first: number; end: number; packets: number }, line: string): void {
  const fields = fieldsOf(line);
  // A packet that the container says not to show: what was cut away on a phone stays in the file.
  if (fields.get('flags')?.includes('D')) return;
  const secondsOf = (name: string): number => Number(fields.get(name) ?? Number.NaN);
  // AVI says when a packet is decoded, and not when it is shown.
  const at = [secondsOf('pts_time'), secondsOf('dts_time')].find(Number.isFinite) ?? 0;
  seen.packets += 1;
  seen.first = Math.min(seen.first, at);
  seen.end = Math.max(seen.end, at + (secondsOf('duration_time') || 0));
}

function fieldsOf(line: string): Map<string, string> {
  return new Map(
    line.split('|').flatMap((field): [string, string][] => {
      const at = field.indexOf('=');
      return at < 0 ? [] : [[field.slice(0, at), field.slice(at + 1)]];
    }),
  );
}

/** Sides as the decoder's turning and the pixels' own form leave them. */
function shownSize(described: string): { width: number; height: number } {
  const numberOf = (name: string): number => Number(new RegExp(`\\b${name}=(-?\\d+)`).exec(described)?.[1] ?? 0);
  const [, across = 1, down = 1] = /sample_aspect_ratio=([1-9]\d*):([1-9]\d*)/.exec(described)?.map(Number) ?? [];
  const sides = { width: Math.max(1, Math.round((numberOf('width') * across) / down)), height: numberOf('height') };
  if (numberOf('width') < 1 || sides.height < 1) throw withoutPictures(described);
  if (sides.width * sides.height > LIMITS.image_pixels) throw refusalOf('max pixel count');
  const isTurned = Math.abs(numberOf('rotation')) % 180 === 90;
  return isTurned ? { width: sides.height, height: sides.width } : sides;
}

function withoutPictures(described: string): CoreError {
  if (/nb_streams=0\b/.test(described)) return refusalOf('');
  const message =
    'the file holds no video that can be decoded: it is sound alone, with a cover or not, or it is cut off.';
  return new CoreError('unsupported_image_type', message);
}

function tooLong(what: string): CoreError {
  const hours = VIDEO_LIMITS.seconds / 3600;
  const message = `the video has ${what} by its own clock, and ${hours} hours are read: cut it into several.`;
  return new CoreError('too_many_items', message);
}
