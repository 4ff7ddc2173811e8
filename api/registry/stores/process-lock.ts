// Locks between processes of a machine: a file names the processes behind it, so that a dead holder's lock is taken over.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { codeOf, UserError } from '../../../contracts/src/user-error.ts';
import { isAlive, markOf, NUMBERS, ProcessMark, temporaryOf } from './processes.ts';

/**
 * The file: the machine, where its process numbers hold (absent: earlier versions, and systems that do not say), and the processes
 * that hold the lock by their role.
 */
const LockFile = z.object({ host: z.string(), numbers: z.string().optional() }).catchall(ProcessMark.nullable());
type LockFile = z.infer<typeof LockFile>;

/** Process numbers by role; undefined: the role has no process yet. */
export type Roles = Readonly<Record<string, number | undefined>>;

export interface ProcessLock {
  /** Names a further process, such as a child: while it lives the lock is held, even when this process is gone. */
  assign(role: string, pid: number): void;
  /**
   * Aborts where another process has taken the lock: this one showed no sign of life for too long, as it computed without a turn
   * of its event loop, or it or its machine was suspended.
   */
  lost: AbortSignal;
  /** Throws a UserError where the lock is lost: for whoever is about to write. */
  check(): void;
  /** Leaves a lock that is lost to whoever has it. */
  release(): void;
}

export interface LockHolder {
  host: string;
  /** Whether its processes can be checked: those of another machine or container cannot. */
  isHere: boolean;
  /** The processes that live, or all where they cannot be checked. */
  roles: Roles;
}

/** A holder shows by the time of its lock that it lives, for containers that cannot see its process; silent so long, it is gone. */
const BEAT_MS = 5_000;
export const SILENT_MS = 120_000;

type Marks = Map<string, ProcessMark | null>;

/** Takes the lock, or tells who holds it. Throws what the file system says where no lock can be written. */
export function tryLock(file: string, roles: Roles): ProcessLock | LockHolder {
  const marks: Marks = new Map(
    Object.entries(roles).map(([role, pid]) => [role, pid === undefined ? null : markOf(pid)]),
  );
  while (!createFile(file, documentOf(marks))) {
    const found = stateOf(file);
    const holder = found === 'stale' ? removeStale(file) : found;
    if (holder !== 'gone') return holder;
  }
  return held(file, marks);
}

function documentOf(marks: Marks): string {
  return JSON.stringify({ host: hostname(), numbers: NUMBERS, ...Object.fromEntries(marks) });
}

function held(file: string, marks: Marks): ProcessLock {
  const lost = new AbortController();
  let written = documentOf(marks);
  const isOurs = (): boolean => {
    if (!lost.signal.aborted && !holdsText(file, written)) {
      clearInterval(beat);
      lost.abort();
    }
    return !lost.signal.aborted;
  };
  const beat = setInterval(() => isOurs() && touch(file), BEAT_MS).unref();
  const check = (): void => {
    if (!isOurs()) throw new UserError(`${file}: ${LOST}`);
  };
  return {
    lost: lost.signal,
    check,
    assign(role, pid) {
      check();
      marks.set(role, markOf(pid));
      const temporary = temporaryOf(file);
      try {
        writeFileSync(temporary, documentOf(marks));
        renameSync(temporary, file);
        written = documentOf(marks);
      } finally {
        rmSync(temporary, { force: true });
      }
    },
    release() {
      clearInterval(beat);
      if (isOurs()) rmSync(file, { force: true });
    },
  };
}

const LOST =
  'another process has taken this lock, as this one stood still or computed for minutes, or somebody has deleted it; nothing is written here any more. Run the same command again';

/** Where the file cannot be read for another reason than that it is gone, nobody else has been seen there. */
function holdsText(file: string, text: string): boolean {
  try {
    return readFileSync(file, 'utf8') === text;
  } catch (error) {
    return codeOf(error) !== 'ENOENT';
  }
}

export function isHolder(outcome: ProcessLock | LockHolder): outcome is LockHolder {
  return 'host' in outcome;
}

export interface WaitOptions {
  roles: Roles;
  pollMs: number;
  /** A lock of another machine is taken over when it is older than this. */
  staleMs: number;
  /** Called once if the lock is held. */
  onWait?: (holder: LockHolder) => void;
}

/** Resolves when the lock is taken. */
export async function waitForLock(file: string, { roles, pollMs, staleMs, onWait }: WaitOptions): Promise<ProcessLock> {
  for (let isFirst = true; ; isFirst = false) {
    const outcome = tryLock(file, roles);
    if (!isHolder(outcome)) return outcome;
    if (isFirst) onWait?.(outcome);
    if (!outcome.isHere && ageMs(file) > staleMs) {
      for (const old of [file, guardOf(file)]) rmSync(old, { force: true });
    } else await sleep(pollMs);
  }
}

/** Creates the lock with its content in one step (a link fails where the name exists); false where one is there. */
function createFile(file: string, document: string): boolean {
  const temporary = temporaryOf(file);
  try {
    writeFileSync(temporary, document);
    return linkOrMove(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Codes of a disk that knows no hard links, such as FAT, exFAT and some shares (link(2)). */
const WITHOUT_LINKS: readonly (string | undefined)[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

function linkOrMove(temporary: string, file: string): boolean {
  try {
    linkSync(temporary, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (WITHOUT_LINKS.includes(codeOf(error))) return moveAlone(temporary, file);
    throw error;
  }
}

/** How long somebody may take to look and rename before he counts as dead, and how long others sleep meanwhile. */
const MOVE_MS = { most: 10_000, pause: 20 } as const;

/** Moves a file to a name that nobody has. A rename would replace one: a folder, which only one can make, keeps others out. */
function moveAlone(temporary: string, file: string): boolean {
  const door = `${file}.moving`;
  // Also by the time that was waited: a share, or a clock that was set back, may date the folder in the future.
  const since = performance.now();
  while (!isMade(door)) {
    if (Math.max(ageMs(door), performance.now() - since) > MOVE_MS.most) rmSync(door, { recursive: true, force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, MOVE_MS.pause);
  }
  try {
    if (statSync(file, { throwIfNoEntry: false }) !== undefined) return false;
    renameSync(temporary, file);
    return true;
  } finally {
    rmSync(door, { recursive: true, force: true });
  }
}

/** False where somebody else has made it: of all who try, one does. */
export function isMade(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes the lock of processes that are gone, or tells who holds it. One process at a time does: no other
 * removes or replaces meanwhile what it finds stale, so that it never takes a lock away from a process that has just got it.
 */
function removeStale(file: string): LockHolder | 'gone' {
  const guard = tryLock(guardOf(file), { owner: process.pid });
  // Another process is about to take the lock over.
  if (isHolder(guard)) return guard;
  try {
    const found = stateOf(file);
    if (found !== 'stale') return found;
    rmSync(file, { recursive: true, force: true });
    return 'gone';
  } finally {
    guard.release();
  }
}

/** Who holds the lock, or that every process named is gone or the file unreadable, or that there is none. */
function stateOf(file: string): LockHolder | 'stale' | 'gone' {
  const lock = readLock(file);
  if (typeof lock === 'string') return lock;
  const { host, numbers = NUMBERS, ...marks } = lock;
  const isHere = host === hostname() && numbers === NUMBERS;
  // Of another container of this name, or from before a restart.
  if (!isHere && host === hostname() && ageMs(file) > SILENT_MS) return 'stale';
  const held = Object.entries(marks).flatMap(([role, mark]) =>
    mark !== null && (!isHere || isAlive(mark)) ? [[role, mark.pid] as const] : [],
  );
  return isHere && held.length === 0 ? 'stale' : { host, isHere, roles: Object.fromEntries(held) };
}

function readLock(file: string): LockFile | 'stale' | 'gone' {
  try {
    return LockFile.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data ?? 'stale';
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'gone';
    // A folder of that name is the lock of an earlier version.
    if (error instanceof SyntaxError || codeOf(error) === 'EISDIR') return 'stale';
    throw error;
  }
}

function touch(file: string): void {
  try {
    const now = new Date();
    utimesSync(file, now, now);
  } catch {
    // Somebody has deleted it, or its disk is gone: nobody is told that this process lives.
  }
}

function ageMs(file: string): number {
  const found = statSync(file, { throwIfNoEntry: false });
  return found === undefined ? 0 : Date.now() - found.mtimeMs;
}

/** The lock that is held while a stale lock is removed. */
function guardOf(file: string): string {
  return `${file}.stale`;
}
