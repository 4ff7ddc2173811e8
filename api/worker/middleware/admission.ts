// Lets requests compute in fair turns, and refuses those that would wait too long, with the seconds after which they would not.

import { CoreError } from '../../core/errors.ts';
import type { Admit, WorkKind } from '../../core/work.ts';
import { createFairQueue, type FairQueueOptions } from '../isolate/fair-queue.ts';

/** Milliseconds that one unit takes; see docs/results.md. */
const UNIT_MS: Record<WorkKind, number> = {
  student: 0.25,
  tiny: 0.08,
  static: 0.001,
  tokenizer: 0.0001,
  scores: 1.5e-6,
};
/** What every request takes in addition. */
const REQUEST_MS = 1;
/** The cheapest request that is worth a check: a few words for the student. */
const SHORTEST_MS = 3;

export interface Admission {
  /** For the request of that signal; `onWait` is told for how long others went first. */
  (signal: AbortSignal, onWait?: (ms: number) => void): Admit;
  /** Refuses where even the shortest request would be, before anything is read: a refusal must cost less than an answer. */
  checkRoom(): void;
}

export function createAdmission(options: Partial<FairQueueOptions> = {}): Admission {
  const { waitMs = 150, patience = 1.5, background } = options;
  const queue = createFairQueue({ waitMs, patience, background });
  function check(work: number): void {
    const wait = queue.wait(work);
    if (wait > 0) throw overloaded(wait);
  }
  const admission = (signal: AbortSignal, onWait?: (ms: number) => void): Admit =>
    async function admit({ kind, size }, work) {
      const total = REQUEST_MS + size * UNIT_MS[kind];
      check(total);
      const member = queue.enter(total, signal);
      try {
        return await work({
          async next(units) {
            const ms = await member.next(units * UNIT_MS[kind]);
            if (ms > 0) onWait?.(ms);
          },
        });
      } finally {
        member.leave();
      }
    };
  return Object.assign(admission, { checkRoom: () => check(SHORTEST_MS) });
}

function overloaded(waitMs: number): CoreError {
  const retryAfterSeconds = Math.ceil(waitMs / 1000);
  const message = `There is more to compute here than a request should wait for: try again in ${retryAfterSeconds} s.`;
  return new CoreError('overloaded', message, { retryAfterSeconds });
}
