// The files of the encoder's image for processors, built by its Dockerfile's own lines for the processor of this machine.
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, readDockerfile, replay } from './dockerfile.ts';

export interface EncoderFiles {
  /** A temporary folder that holds all stages. */
  top: string;
  /** What is `/var/task` in the image. */
  task: string;
}

/** Packages are those that are installed here: Linux only, as the image's. */
export function replayEncoder(): EncoderFiles {
  const top = replay(readDockerfile('api/encoder/Dockerfile'), (command, folder) => {
    if (!command.startsWith('npm ci')) return command.replaceAll('arm64', process.arch);
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    return null;
  });
  return { top, task: join(top, 'final', 'var', 'task') };
}
