// Ends a process that leads a group, and what it has started.
import { codeOf } from '../../../contracts/src/user-error.ts';

/** At once. Nothing where there is none, or where it has ended and its end is not told yet. */
export function killGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}
