// Processes of a machine, told apart by number, where that number means one, and by when they started; and the names of what they
// have not finished, by which what dead ones left can be removed.
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { codeOf } from '../../../contracts/src/user-error.ts';

/** A process and when it started (clock ticks after boot, Linux): a number that was given out again does not match. */
export const ProcessMark = z.strictObject({ pid: z.int().positive(), started: z.string().nullable() });
export type ProcessMark = z.infer<typeof ProcessMark>;

/** Where a process number means a process: this start of the kernel, and this container's namespace. Undefined where neither is said. */
export const NUMBERS = numbersHere();

function numbersHere(): string | undefined {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return undefined;
  }
}

export function isAlive(mark: ProcessMark): boolean {
  try {
    process.kill(mark.pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to another user.
    if (codeOf(error) !== 'EPERM') return false;
  }
  const { started } = markOf(mark.pid);
  return mark.started === null || started === null || started === mark.started;
}

export function markOf(pid: number): ProcessMark {
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

// ------------------------------------------------------------------ names of what is not whole yet

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);
/** Where the number of the process means this one. */
const PLACE = digestOf(`${hostname()} ${NUMBERS}`);
const { pid: PID, started: STARTED } = markOf(process.pid);
const OWNED = /\.(\d+)-(\d+|x)-([0-9a-f]{8})-[0-9a-f]{8}\.tmp$/;
/** Of another machine or container, or from before a restart, whose processes cannot be asked for: nobody writes so slowly. */
const SILENT_MS = 24 * 3_600_000;

const swept = new Set<string>();

/** A new name beside a file or folder. The first one in a folder removes what dead processes left there. */
export function temporaryOf(path: string): string {
  const folder = dirname(path);
  if (!swept.has(folder)) removeLeft(folder);
  swept.add(folder);
  return `${path}.${PID}-${STARTED ?? 'x'}-${PLACE}-${randomBytes(4).toString('hex')}.tmp`;
}

/** Removes what processes that are gone did not finish right in a folder. That it is there hinders nobody: no error is thrown. */
export function removeLeft(folder: string): void {
  for (const name of namesIn(folder)) {
    const [, pid, started = 'x', place] = OWNED.exec(name) ?? [];
    if (pid === undefined) continue;
    const path = join(folder, name);
    const mark = { pid: Number(pid), started: started === 'x' ? null : started };
    if (place === PLACE ? isAlive(mark) : !isSilent(path)) continue;
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // Another user's.
    }
  }
}

function isSilent(path: string): boolean {
  try {
    return Date.now() - statSync(path).mtimeMs > SILENT_MS;
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // not there yet, or closed to this user
  }
}
