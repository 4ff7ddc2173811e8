// Locks a run folder for one runner and the stage that it starts.
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isHolder, type LockHolder, SILENT_MS, tryLock } from '../../../api/registry/stores/process-lock.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

export interface RunLock {
  /** Names the stage's process too: it may outlive a killed runner and still writes to the folder. */
  holdFor(pid: number): void;
  /** Aborts where another runner has taken the folder. */
  lost: AbortSignal;
  /** Throws a UserError where it has. */
  check(): void;
  release(): void;
}

/** Takes the folder or throws a UserError that says who has it. */
export function lockRun(folder: string): RunLock {
  mkdirSync(folder, { recursive: true });
  const outcome = tryLock(join(folder, 'lock.json'), {
    runner: process.pid,
    stage: undefined,
  });
  if (isHolder(outcome)) throw new UserError(`${folder} is in use: ${sentence(outcome)}`);
  return {
    holdFor: (pid) => outcome.assign('stage', pid),
    lost: outcome.lost,
    check: () => outcome.check(),
    release: () => outcome.release(),
  };
}

function sentence({ host, isHere, roles: { runner, stage } }: LockHolder): string {
  if (!isHere && host === hostname())
    return `a runner in another container, or from before a restart (process ${runner}), holds lock.json; once it is gone, its lock is taken over after ${SILENT_MS / 60_000} minutes`;
  if (!isHere) return `a runner on ${host} (process ${runner}) holds lock.json; if it is gone, delete that file`;
  if (runner !== undefined) return `another runner (process ${runner}) is at work there`;
  return `its stage still runs (process ${stage}) although its runner is gone; wait for it, or stop it with: kill ${stage}`;
}
