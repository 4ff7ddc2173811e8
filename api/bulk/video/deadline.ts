// A limit on how long a program may keep silent while it is waited for, and how one has ended that had such a limit.
import { CoreError } from '../../core/errors.ts';
import type { Ended, Running, Start } from './program.ts';

export interface Deadline {
  /** Whether the program was ended because it was too slow. */
  readonly isOver: boolean;
  /** From here on its reader waits. */
  begin(): void;
  /** Its reader has something to do, and the program may have to wait. */
  pause(): void;
}

/** Kills a program that says nothing for `seconds` while its reader waits for it. */
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

/**
 * How a program has ended whose output was read to its end. Throws what ended it where that was not the program itself: the caller's
 * signal, or its silence, which `late` says.
 */
export async function endOf(
  { ended }: Pick<Running, 'ended'>,
  { deadline, start, late }: { deadline: Deadline; start: Pick<Start, 'signal'>; late: string },
): Promise<Ended> {
  deadline.pause();
  const found = await ended;
  start.signal?.throwIfAborted();
  if (deadline.isOver) throw new CoreError('broken_image', late);
  return found;
}
