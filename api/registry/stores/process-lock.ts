// Locks between processes of a machine: a file names the processes behind it, so that a dead holder's lock is taken over.
import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';

/** A process and when it started (clock ticks after boot, Linux): a number that was given out again does not match. */
const ProcessMark = z.strictObject({ pid: z.int().positive(), started: z.string().nullable() });
type ProcessMark = z.infer<typeof ProcessMark>;

/** The file: the machine, and the processes that hold the lock by their role. */
const LockFile = z.object({ host: z.string() }).catchall(ProcessMark.nullable());
type LockFile = z.infer<typeof LockFile>;

/** Process numbers by role; undefined: the role has no process yet. */
export type Roles = Readonly<Record<string, number | undefined>>;

export interface ProcessLock {
  /** Names a further process, such as a child: while it lives the lock is held, even when this process is gone. */
  assign(role: string, pid: number): void;
  release(): void;
}

export interface LockHolder {
  host: string;
  /** Whether it is this machine; processes of another one cannot be checked. */
  isHere: boolean;
  /** The processes of this machine that live, or all of another one. */
  roles: Roles;
}

/** Takes the lock, or tells who holds it. Throws what the file system says where no lock can be written. */
export function tryLock(file: string, roles: Roles): ProcessLock | LockHolder {
  const marks = new Map(Object.entries(roles).map(([role, pid]) => [role, pid === undefined ? null : markOf(pid)]));
  const document = (): string => JSON.stringify({ host: hostname(), ...Object.fromEntries(marks) });
  if (!createFile(file, document())) {
    const holder = holderOf(file) ?? removeStale(file);
    if (holder !== undefined) return holder;
    // Of several processes that removed a stale lock one creates the new one; the others find it.
    if (!createFile(file, document())) return tryLock(file, roles);
  }
  return {
    assign(role, pid) {
      marks.set(role, markOf(pid));
      const temporary = temporaryOf(file);
      writeFileSync(temporary, document());
      renameSync(temporary, file);
    },
    release() {
      rmSync(file, { force: true });
    },
  };
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
    if (!outcome.isHere && ageMs(file) > staleMs) rmSync(file, { force: true });
    else await sleep(pollMs);
  }
}

/** Creates the lock with its content in one step (a link fails where the name exists); false where one is there. */
function createFile(file: string, document: string): boolean {
  const temporary = temporaryOf(file);
  try {
    writeFileSync(temporary, document);
    linkSync(temporary, file);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Moves a stale lock away before it is removed: of two processes that saw it, one renames and the other fails to. */
function removeStale(file: string): LockHolder | undefined {
  const aside = temporaryOf(file);
  try {
    renameSync(file, aside);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const holder = holderOf(aside);
  // Another process took the lock after it was found stale: it gets it back.
  if (holder !== undefined) renameSync(aside, file);
  else rmSync(aside, { recursive: true, force: true });
  return holder;
}

/** Who holds the lock; undefined where every process named is gone, or the file is unreadable. */
function holderOf(file: string): LockHolder | undefined {
  const lock = readLock(file);
  if (lock === undefined) return undefined;
  const { host, ...marks } = lock;
  const isHere = host === hostname();
  const held = Object.entries(marks).flatMap(([role, mark]) =>
    mark !== null && (!isHere || isAlive(mark)) ? [[role, mark.pid] as const] : [],
  );
  return isHere && held.length === 0 ? undefined : { host, isHere, roles: Object.fromEntries(held) };
}

function readLock(file: string): LockFile | undefined {
  try {
    return LockFile.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data;
  } catch (error) {
    // A folder of that name is the lock of an earlier version.
    if (error instanceof SyntaxError || isCode(error, 'ENOENT') || isCode(error, 'EISDIR')) return undefined;
    throw error;
  }
}

function isAlive(mark: ProcessMark): boolean {
  try {
    process.kill(mark.pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to another user.
    if (!isCode(error, 'EPERM')) return false;
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

function ageMs(file: string): number {
  const found = statSync(file, { throwIfNoEntry: false });
  return found === undefined ? 0 : Date.now() - found.mtimeMs;
}

function temporaryOf(file: string): string {
  return `${file}.${randomUUID()}.tmp`;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
