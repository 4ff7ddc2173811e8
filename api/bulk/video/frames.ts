// Frames of a video as pictures, one after the other: one is held at a time, and the decoder waits while it is embedded.
import type { Picture } from '../../encoder/pixels/decode.ts';
import { type Deadline, deadlineOf, endOf } from './deadline.ts';
import { refusalOf, warningsOf } from './faults.ts';
import type { VideoFacts } from './probe.ts';
import { type Running, type Start, startProgram } from './program.ts';
import { type FramePlan, tooManyFrames } from './sampling.ts';

/** For the first frame, and for any other as long again as twice the video between them: slower than that, a decoder hangs. */
const FRAME_SECONDS = 60;
const SLOWNESS = 2;

export interface VideoFrames {
  /** A picture is good until the next one is asked for. Throws a CoreError where the video is at fault. */
  pictures: AsyncGenerator<Picture>;
  /** After the last picture: what was wrong, which was decoded all the same. */
  warnings(): string[];
}

export function openFrames(start: Start, facts: VideoFacts, plan: FramePlan): VideoFrames {
  let warnings: string[] = [];
  const { threads } = start.programs;
  const words = {
    before: ['-nostdin', '-threads', `${threads}`],
    after: [
      ...['-map', '0:V:0', '-vf', plan.filters, '-filter_threads', '1', '-fps_mode', 'passthrough'],
      ...['-frames:v', `${plan.asked}`, '-f', 'rawvideo', 'pipe:1'],
    ],
  };
  const seconds = FRAME_SECONDS + SLOWNESS * plan.gapSeconds;

  async function* pictures(): AsyncGenerator<Picture> {
    const running = await startProgram('ffmpeg', start, words);
    const deadline = deadlineOf(running, seconds);
    let count = 0;
    try {
      for await (const picture of picturesIn(running, facts, deadline)) {
        count += 1;
        if (count > plan.most) throw tooManyFrames(count, plan.most);
        yield picture;
      }
      const late = `the decoder gave no frame of the video within ${Math.round(seconds)} s.`;
      const { code, said } = await endOf(running, { deadline, start, late });
      if (code !== 0 || count === 0) throw refusalOf(said);
      warnings = warningsOf(said);
    } finally {
      deadline.pause();
      running.kill();
    }
  }
  return { pictures: pictures(), warnings: () => warnings };
}

type Sides = Pick<VideoFacts, 'width' | 'height'>;

/** Rows of three bytes a pixel, frame behind frame, into one buffer that is filled again and again. */
async function* picturesIn({ output }: Running, { width, height }: Sides, deadline: Deadline): AsyncGenerator<Picture> {
  const pixels = new Uint8Array(width * height * 3);
  let filled = 0;
  deadline.begin();
  for await (const chunk of output as AsyncIterable<Uint8Array>) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + pixels.length - filled);
      pixels.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < pixels.length) continue;
      deadline.pause();
      yield { width, height, pixels };
      deadline.begin();
      filled = 0;
    }
  }
}
