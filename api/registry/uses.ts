// The requests that are using a model, and whether each of them is still alive.
//
// A request that is cancelled may never run its `finally`: workerd drops its whole context. Two signs tell that it is gone:
// its abort signal, and that its timer no longer fires, because the timers of a dropped context do not.

import type { Clock } from './clock.ts';

export interface Uses {
  /** Returns how to end the use. A signal that aborts ends it, too. */
  begin(signal?: AbortSignal): () => void;
  isEmpty(): boolean;
  /** Ends the uses whose requests were cancelled without a sign. Takes a second, in which each of the others shows one. */
  endCancelled(): Promise<void>;
}

const BEAT_MS = 250;
/** So many pauses, one after the other: a computation that blocks the thread delays a pause as well as the beats. */
const PAUSES = 4;
/** Longer than any request takes: the bound for one whose context lives on although it hangs. */
const MAX_USE_MS = 600_000;

export function createUses(clock: Clock): Uses {
  const uses = new Set<{ since: number; beats: number }>();

  return {
    begin(signal) {
      const use = { since: clock.now(), beats: 0 };
      uses.add(use);
      const stop = clock.every(BEAT_MS, () => {
        use.beats += 1;
      });
      const end = () => {
        stop();
        signal?.removeEventListener('abort', end);
        uses.delete(use);
      };
      signal?.addEventListener('abort', end);
      return end;
    },
    isEmpty() {
      for (const use of uses) if (clock.now() - use.since > MAX_USE_MS) uses.delete(use);
      return uses.size === 0;
    },
    async endCancelled() {
      const before = [...uses].map((use) => ({ use, beats: use.beats }));
      for (let pause = 0; pause < PAUSES && before.length > 0; pause++) await clock.sleep(BEAT_MS);
      for (const { use, beats } of before) if (use.beats === beats) uses.delete(use);
    },
  };
}
