// ffmpeg and ffprobe as programs of their own: a decoder that crashes or hangs costs its video alone, and it is given neither keys nor other files.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { codeOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';

export interface VideoPrograms {
  /** Folders that ffmpeg and ffprobe are looked for in, as `$PATH` writes them. */
  path: string;
  /** Threads of a decoder. */
  threads: number;
}

export const MISSING =
  'videos are read by ffmpeg, which is not installed here: install version 5.1 or newer (Debian: apt-get install ffmpeg), and start again.';

/** Containers, by the names that ffmpeg gives its demuxers. None of them opens another file: playlists, concatenations and image sequences would. */
const CONTAINERS = ['mov', 'matroska', 'avi', 'mpegts', 'mpeg', 'flv', 'asf', 'ogg'];
/** What a program said last. */
const LAST_CHARS = 4000;

export interface Ended {
  /** Null: by a signal. */
  code: number | null;
  /** Lines of errors. */
  said: string;
}

export interface Running {
  output: Readable;
  /** When it has ended, by itself or not. */
  ended: Promise<Ended>;
  kill(): void;
}

export interface Start {
  programs: VideoPrograms;
  /** The file, whose name never reaches the program's own syntax of names. */
  file: string;
  /** Pixels of a picture that it may hold at most. */
  pixels: number;
  /** Ends it when it aborts. */
  signal?: AbortSignal | undefined;
}

/** `before` and `after`: words before and after the input. Throws a CoreError where the program is not installed. */
export async function startProgram(
  name: 'ffmpeg' | 'ffprobe',
  { programs, file, pixels, signal }: Start,
  { before = [], after }: { before?: string[]; after: string[] },
): Promise<Running> {
  const guards = ['-protocol_whitelist', 'file', '-format_whitelist', CONTAINERS.join(','), '-max_pixels', `${pixels}`];
  const words = ['-hide_banner', '-v', 'error', ...before, ...guards, '-i', `file:${file}`, ...after];
  // Nothing of the environment, which may hold keys, but where programs are.
  const env = { PATH: programs.path, LC_ALL: 'C' };
  // In a group of its own: Ctrl-C ends us, and we end it, so that no video is taken for broken.
  const child = spawn(name, words, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  await started(child);
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said = (said + text).slice(-LAST_CHARS);
  });
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  signal?.addEventListener('abort', kill, { once: true });
  if (signal?.aborted) kill();
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => {
      signal?.removeEventListener('abort', kill);
      resolve({ code, said });
    });
  });
  return { output: child.stdout, ended, kill };
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.on('error', (error) => {
      const isMissing = codeOf(error) === 'ENOENT';
      reject(isMissing ? new CoreError('not_configured', MISSING) : error);
    });
  });
}

/** Whether both programs are there. */
export async function hasPrograms(path: string): Promise<boolean> {
  const ends = (['ffmpeg', 'ffprobe'] as const).map((name) => {
    const child = spawn(name, ['-version'], { env: { PATH: path }, stdio: 'ignore' });
    return new Promise<boolean>((resolve) => {
      child.once('error', () => resolve(false));
      child.once('close', (code) => resolve(code === 0));
    });
  });
  return (await Promise.all(ends)).every(Boolean);
}
