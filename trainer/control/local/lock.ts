// One runner a run folder: a lock file that names the processes, so that a lock left by a dead one is recognised.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../../contracts/src/user-error.ts';

/** A process and when it started (clock ticks after boot, Linux): a number that was given out again does not match. */
const ProcessMark = z.strictObject({ pid: z.int().positive(), started: z.string().nullable() });
type ProcessMark = z.infer<typeof ProcessMark>;

const Lock = z.strictObject({ host: z.string(), runner: ProcessMark, stage: ProcessMark.nullable() });
type Lock = z.infer<typeof Lock>;

export interface RunLock {
  /** Names the stage's process too: it may outlive a killed runner and still writes to the folder. */
  holdFor(pid: number): void;
  release(): void;
}

/** Takes the folder or throws a UserError that says who has it. */
export function lockRun(folder: string): RunLock {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'lock.json');
  const mine: Lock = { host: hostname(), runner: markOf(process.pid), stage: null };
  if (!createFile(file, mine)) {
    const found = readLock(file);
    const holder = found === null ? null : holderOf(found);
    if (holder !== null) throw new UserError(`${folder} is in use: ${holder}`);
    removeStale(file);
    if (!createFile(file, mine)) throw new UserError(`${folder} was taken by another command this moment`);
  }
  return {
    holdFor(pid) {
      const temporary = `${file}.${process.pid}`;
      writeFileSync(temporary, JSON.stringify({ ...mine, stage: markOf(pid) }));
      renameSync(temporary, file);
    },
    release() {
      rmSync(file, { force: true });
    },
  };
}

/** Creates the lock with its content in one step (a link fails where the name exists); false where one is there. */
function createFile(file: string, lock: Lock): boolean {
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(lock));
  try {
    linkSync(temporary, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Moves a stale lock away before it is removed: of two commands that saw it, one renames and the other fails to. */
function removeStale(file: string): void {
  const aside = `${file}.stale-${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  const moved = readLock(aside);
  if (moved !== null && holderOf(moved) !== null) {
    // Somebody took the folder between our look and our rename: give it back.
    renameSync(aside, file);
    throw new UserError(`${file} was taken by another command this moment`);
  }
  rmSync(aside, { force: true });
}

/** What holds the folder, as a sentence; null when every process named is gone. */
function holderOf(lock: Lock): string | null {
  if (lock.host !== hostname()) {
    return `a runner on ${lock.host} (process ${lock.runner.pid}) holds lock.json; if it is gone, delete that file`;
  }
  if (isAlive(lock.runner)) return `another runner (process ${lock.runner.pid}) is at work there`;
  if (lock.stage !== null && isAlive(lock.stage)) {
    const { pid } = lock.stage;
    return `its stage still runs (process ${pid}) although its runner is gone; wait for it, or stop it with: kill ${pid}`;
  }
  return null;
}

function readLock(file: string): Lock | null {
  try {
    const result = Lock.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    return result.success ? result.data : null;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      return null;
    throw error;
  }
}

function isAlive(mark: ProcessMark): boolean {
  try {
    process.kill(mark.pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  const { started } = markOf(mark.pid);
  return mark.started === null || started === null || started === mark.started;
}

function markOf(pid: number): ProcessMark {
  try {
    // /proc/<pid>/stat: the command's name in brackets may hold spaces; `starttime` is the 20th field after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; only its parent has not asked yet.
    if (fields[0] === 'Z') return { pid, started: 'ended' };
    return { pid, started: fields[19] ?? null };
  } catch {
    return { pid, started: null };
  }
}
