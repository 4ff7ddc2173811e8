// Work that is left for the exit of this process, by one listener for all: Node.js warns of eleven, as of a leak.
import { reasonOf } from '../src/user-error.ts';

const left = new Set<() => void>();

/** `work` is done at once, without waiting for anything. Answers how it is taken back. */
export function atExit(work: () => void): () => void {
  if (!process.listeners('exit').includes(doAll)) process.on('exit', doAll);
  left.add(work);
  return () => void left.delete(work);
}

function doAll(): void {
  for (const work of left) {
    try {
      work();
    } catch (error) {
      // The others still have theirs to do: a child process that stays, say.
      console.error(reasonOf(error));
    }
  }
}
