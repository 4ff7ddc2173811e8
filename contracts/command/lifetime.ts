// Tells a process that whatever started it has ended, which no signal does.
import { readFileSync } from 'node:fs';

const POLL_MS = 500;

/** As it was when this module was loaded: a watch that starts late still notices. */
const PARENT = process.ppid;
const GRANDPARENT = parentOf(PARENT);

/** Calls `leave` once when the parent of this process has ended. Returns how to end the watch. */
export function whenOrphaned(leave: () => void): () => void {
  return poll(() => process.ppid !== PARENT, leave);
}

/**
 * Calls `leave` once when the npm that runs this script has ended: a signal that is sent to npm alone reaches npm's shell
 * at most, and the shell does not pass it on. Not started by npm, nothing is watched. Returns how to end the watch.
 */
export function whenNpmEnds(env: NodeJS.ProcessEnv, leave: () => void): () => void {
  if (env.npm_lifecycle_event === undefined) return () => {};
  // A killed npm leaves its shell behind, whose parent is then another process.
  return poll(() => process.ppid !== PARENT || parentOf(PARENT) !== GRANDPARENT, leave);
}

function poll(isGone: () => boolean, leave: () => void): () => void {
  const timer = setInterval(() => {
    if (!isGone()) return;
    clearInterval(timer);
    leave();
  }, POLL_MS).unref();
  return () => clearInterval(timer);
}

/** Linux says it in /proc; elsewhere the shell is not watched. */
function parentOf(pid: number): string | undefined {
  try {
    // "pid (name) state ppid …"; a name may hold spaces and brackets.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1];
  } catch {
    return undefined;
  }
}
