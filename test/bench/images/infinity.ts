// infinity for one run of `npm run bench:images`: installed into a folder that goes with the run.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const RELEASE = 'infinity-emb==0.0.78';

/** What it asks for when it opens images, and the trainer's environment does not have. */
const MISSING = ['aiohttp==3.14.5'];

/**
 * The folder for `PYTHONPATH`, or why there is none. Beside the trainer's packages, which are left as they are: without its
 * dependencies, because it asks for numpy before version 2 and gets along with later ones.
 */
export function installInfinity(python: string, folder: string): { folder: string } | { reason: string } {
  const target = join(folder, 'infinity');
  mkdirSync(target);
  for (const packages of [['--no-deps', RELEASE], MISSING]) {
    const words = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', target, ...packages];
    const { status, stderr } = spawnSync(python, words, { encoding: 'utf8' });
    if (status !== 0) return { reason: stderr.trim().split('\n').at(-1) ?? `pip ended with ${status}` };
  }
  return { folder: target };
}
