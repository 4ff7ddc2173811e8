// Starts a Python module of the trainer with the folders that it imports from, and waits for its end.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';
import type { Readable } from 'node:stream';
import { UserError } from '../../../contracts/src/user-error.ts';

export interface PythonModule {
  python: string;
  /** Of the interpreter: `-m`, the module and what it takes. */
  args: readonly string[];
  /** Folder of the trainer's packages; the working directory of the module. */
  trainer: string;
  /** Folder of the Python package `contracts`. */
  contracts: string;
  env: NodeJS.ProcessEnv;
}
export type ModuleProcess = ChildProcessByStdio<null, Readable, Readable>;

/**
 * Rounds that a thread of PyTorch's libgomp spins while it waits for another one, before it sleeps. By default it spins for
 * milliseconds, on a processor that the other one needs as soon as anything else runs on the machine; with a tenth of these
 * rounds it sleeps so soon that on some machines a fourth of a step is waking it (trainer/LOG.md).
 */
const PATIENT = { GOMP_SPINCOUNT: '10000' } as const;

/**
 * Where packages of Linux put tcmalloc (libtcmalloc-minimal4 of Debian and Ubuntu, gperftools-libs of Fedora and Red Hat).
 * PyTorch takes and gives back every tensor of a step, at which glibc's allocator spends up to a fourth of the step
 * (trainer/LOG.md). An LD_PRELOAD of the environment wins, an empty one too.
 */
const TCMALLOC = [
  '/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4',
  '/usr/lib/aarch64-linux-gnu/libtcmalloc_minimal.so.4',
  '/usr/lib64/libtcmalloc_minimal.so.4',
  '/usr/lib/libtcmalloc_minimal.so.4',
];

/** What a module finds in its environment where whoever starts it has set nothing else. */
function defaults(): NodeJS.ProcessEnv {
  const tcmalloc = TCMALLOC.find((file) => existsSync(file));
  return { ...PATIENT, ...(tcmalloc === undefined ? {} : { LD_PRELOAD: tcmalloc }) };
}

export function startModule({ python, args, trainer, contracts, env }: PythonModule): ModuleProcess {
  return spawn(python, args, {
    cwd: trainer,
    env: { ...defaults(), ...env, PYTHONPATH: [trainer, contracts].join(delimiter), PYTHONUNBUFFERED: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own: the terminal's Ctrl-C reaches this program only, which then asks the module once.
    detached: true,
  });
}

export interface EndOptions {
  python: string;
  /** Aborts: ask it to end (SIGTERM). */
  stop: AbortSignal;
  /** Aborts: end it at once (SIGKILL). */
  kill?: AbortSignal;
}

/** Its exit code; null where a signal ended it. Throws a UserError where it cannot be started. */
export async function exitOf(child: ModuleProcess, { python, stop, kill }: EndOptions): Promise<number | null> {
  const onStop = () => void child.kill('SIGTERM');
  const onKill = () => void child.kill('SIGKILL');
  stop.addEventListener('abort', onStop);
  kill?.addEventListener('abort', onKill);
  try {
    return await new Promise<number | null>((done, fail) => {
      child.once('error', (error) => fail(new UserError(`cannot start ${python}: ${error.message}`)));
      child.once('close', done);
    });
  } finally {
    stop.removeEventListener('abort', onStop);
    kill?.removeEventListener('abort', onKill);
  }
}
