// From a video file to the vectors of its segments and of all of it.
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { VIDEO_LIMITS, type VideoSampling } from '../../../contracts/src/bulk/video.ts';
import { CoreError } from '../../core/errors.ts';
import type { Picture } from '../../encoder/pixels/decode.ts';
import type { OpenVideo } from '../inputs/items.ts';
import { openFrames } from './frames.ts';
import { probeVideo } from './probe.ts';
import type { VideoPrograms } from './program.ts';
import { planFrames } from './sampling.ts';
import { joinFrames, type VideoParts } from './segments.ts';

export interface VideoOptions {
  sampling: VideoSampling;
  programs: VideoPrograms;
  /** In the order of the pictures: vectors at unit length and of full length. */
  embed(pictures: AsyncIterable<Picture>): AsyncIterable<Float32Array>;
  /** Told of every frame that is embedded. */
  onFrame?: (() => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface EncodedVideo extends VideoParts {
  /** As it is shown. */
  width: number;
  height: number;
  /** What was wrong, which was read all the same. */
  warnings: string[];
}

/** Throws a CoreError where the video is refused or at fault. */
export async function encodeVideo(object: OpenVideo, options: VideoOptions): Promise<EncodedVideo> {
  const { sampling, programs, embed, onFrame, signal } = options;
  if (object.size > VIDEO_LIMITS.bytes) {
    object.close();
    throw tooLarge();
  }
  return withFile(object, signal, async (file) => {
    const start = { programs, file, pixels: LIMITS.image_pixels, signal };
    const { seconds, ...sides } = await probeVideo(start);
    const plan = planFrames({ seconds, ...sides }, sampling);
    const { pictures, warnings } = openFrames(start, { seconds, ...sides }, plan);
    const joined = { segmentSeconds: sampling.segment_seconds, seconds, timeOf: plan.timeOf, onFrame };
    const parts = await joinFrames(embed(pictures), joined);
    return { ...parts, ...sides, warnings: warnings() };
  });
}

function tooLarge(): CoreError {
  const most = VIDEO_LIMITS.bytes.toLocaleString('en-US');
  return new CoreError('image_too_large', `the file of the video has more than ${most} bytes: cut it or compress it.`);
}

/** A program reads back and forth, which a store's stream does not do: what is elsewhere is copied first. */
async function withFile<T>(
  { path, stream }: OpenVideo,
  signal: AbortSignal | undefined,
  use: (file: string) => Promise<T>,
): Promise<T> {
  if (path !== undefined) return use(path);
  const folder = await mkdtemp(join(tmpdir(), 'edge-clip-video-'));
  try {
    const file = join(folder, 'video');
    await pipeline(Readable.from(stream()), createWriteStream(file), signal ? { signal } : {});
    return await use(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
