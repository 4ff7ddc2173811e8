// A limit on how long a program may keep silent while somebody waits for it.
import type { Running } from './program.ts';

export interface Deadline {
  /** Whether the program was ended because it was too slow. */
  readonly isOver: boolean;
  /** From here on its reader waits. */
  begin(): void;
  /** Its reader has something to do, and the program may have to wait. */
  pause(): void;
}

/** Kills a program that says nothing for so many seconds in which its reader waits for it. */
export function deadlineOf(running: Pick<Running, 'kill'>, seconds: number): Deadline {
  let timer: NodeJS.Timeout | undefined;
  const deadline = {
    isOver: false,
    begin() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        deadline.isOver = true;
        running.kill();
      }, seconds * 1000);
    },
    pause() {
      clearTimeout(timer);
    },
  };
  return deadline;
}
