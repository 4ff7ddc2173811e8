// Frames of videos a second and core: decoded by ffmpeg, embedded, joined; the encoder of bulk jobs in one thread, by CPU time of it and of ffmpeg.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBulkEncoder } from '../../../api/bulk/model.ts';
import { encodeVideo } from '../../../api/bulk/video/encode-video.ts';
import { ffmpeg, H264 } from '../../support/videos.ts';
import { median, ownCpuMs } from '../process.ts';

export interface Videos {
  clips: string;
  /** Frames that are taken, of all clips. */
  frames: number;
  frames_a_core_second: number;
  /** What ffmpeg and ffprobe took of each: all frames are decoded, one in 25 is taken. */
  decoding_ms: number;
}

const SECONDS = 20;
const RATE = 25;
const SIZE = '640x480';
const TEXT_MODULE = new URL('../../../api/text/wasm/encoder.wasm', import.meta.url);
/** Of a tick in /proc. */
const TICK_MS = 10;

/** A slow zoom into each photograph: moving, with the detail of a photograph. */
export async function measureVideos(photos: string[], model: string, rounds: number): Promise<Videos> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-videos-'));
  const encoder = await openBulkEncoder({ folder: model, textModule: TEXT_MODULE, threads: 1 });
  try {
    const clips = photos.map((photo, at) => {
      const file = join(folder, `${at}.mp4`);
      const zoom = `scale=1920:-2,zoompan=z='1+0.001*in':d=${SECONDS * RATE}:s=${SIZE}:fps=${RATE}`;
      ffmpeg('-i', photo, '-vf', zoom, '-t', `${SECONDS}`, ...H264, '-preset', 'fast', file);
      return { path: file, size: statSync(file).size, stream: () => [][Symbol.iterator]() as never, close() {} };
    });
    const sampling = { frames: { per_second: 1, most: 3600 }, segment_seconds: 10 };
    const programs = { path: process.env.PATH ?? '', threads: 1 };
    let frames = 0;
    const round = async (): Promise<{ own: number; decoding: number }> => {
      const before = { own: ownCpuMs(), decoding: childrenCpuMs() };
      frames = 0;
      for (const clip of clips) {
        const { whole } = await encodeVideo(clip, { sampling, programs, embed: encoder.embedPictures });
        frames += whole.span.frames;
      }
      return { own: ownCpuMs() - before.own, decoding: childrenCpuMs() - before.decoding };
    };
    await round();
    const taken: Awaited<ReturnType<typeof round>>[] = [];
    for (let at = 0; at < rounds; at++) taken.push(await round());
    const whole = median(taken.map(({ own, decoding }) => own + decoding));
    return {
      clips: `${clips.length} of ${SECONDS} s, H.264, ${SIZE}, ${RATE} frames a second, one taken a second`,
      frames,
      frames_a_core_second: Math.round((10_000 * frames) / whole) / 10,
      decoding_ms: Math.round((10 * median(taken.map(({ decoding }) => decoding))) / frames) / 10,
    };
  } finally {
    await encoder.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of children that have ended, user and system: fields 16 and 17 of the process's own line. Linux. */
function childrenCpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
}
