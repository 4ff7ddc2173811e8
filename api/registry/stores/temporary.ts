// Names of files and folders that are not whole yet. They say which process makes them, so that those of a dead one can be removed.
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { isAlive, markOf, NUMBERS } from './process-lock.ts';

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
