// Which process a number means: when it started, and where numbers mean processes at all.
import { readFileSync, readlinkSync } from 'node:fs';
import * as z from 'zod';
import { codeOf } from '../src/user-error.ts';

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
