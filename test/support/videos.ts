// Small videos, made by ffmpeg of the system (Debian: apt-get install ffmpeg): without it there is nothing to test with.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';

export const HAS_FFMPEG = ['ffmpeg', 'ffprobe'].every((name) => spawnSync(name, ['-version']).status === 0);

export function ffmpeg(...words: string[]): void {
  execFileSync('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** One thread, so that it is the same file in every run. */
export const H264 = ['-c:v', 'libx264', '-threads', '1', '-pix_fmt', 'yuv420p'];

/** At 25 frames a second: two seconds of red, two of lime, one of blue. */
export function makeColours(file: string, size = '64x48'): void {
  const seconds = { red: 2, lime: 2, blue: 1 };
  const inputs = Object.entries(seconds).flatMap(([colour, d]) => [
    '-f',
    'lavfi',
    '-i',
    `color=${colour}:s=${size}:r=25:d=${d}`,
  ]);
  ffmpeg(...inputs, '-filter_complex', '[0][1][2]concat=n=3', ...H264, '-g', '10', file);
}

/** A moving picture, every frame of which is another. */
export function makeMoving(file: string, { seconds = 5, rate = 25, size = '160x120' } = {}): void {
  ffmpeg('-f', 'lavfi', '-i', `testsrc2=s=${size}:r=${rate}:d=${seconds}`, ...H264, '-preset', 'ultrafast', file);
}

/** The frames of these numbers as PNG files, `0001.png` and so on, chosen by number and not by time. */
export function writeFrames(file: string, folder: string, numbers: number[]): void {
  const chosen = numbers.map((number) => `eq(n,${number})`).join('+');
  const colours = 'scale=flags=bicubic+accurate_rnd+full_chroma_int+bitexact,format=rgb24';
  ffmpeg('-i', file, '-vf', `select='${chosen}',${colours}`, '-fps_mode', 'passthrough', join(folder, '%04d.png'));
}
