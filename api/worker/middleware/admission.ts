// Lets requests compute in fair turns, and refuses those that would wait too long, with the seconds after which they would not.

import { CoreError } from '../../core/errors.ts';
import type { Admit, WorkKind } from '../../core/work.ts';
import { createFairQueue, type FairQueueOptions } from '../isolate/fair-queue.ts';

/** Milliseconds that one unit takes; see docs/results.md. */
const UNIT_MS: Record<WorkKind, number> = { student: 0.75, static: 0.001, tokenizer: 0.0001 };
/** What every request takes beside. */
const REQUEST_MS = 1;

/** For the request of that signal. */
export type Admission = (signal: AbortSignal) => Admit;

export function createAdmission({ waitMs = 250, patience = 3 }: Partial<FairQueueOptions> = {}): Admission {
  const queue = createFairQueue({ waitMs, patience });
  return (signal) =>
    async function admit({ kind, size }, work) {
      const total = REQUEST_MS + size * UNIT_MS[kind];
      const wait = queue.wait(total);
      if (wait > 0) throw overloaded(wait);
      const member = queue.enter(total, signal);
      try {
        return await work({ next: (units) => member.next(units * UNIT_MS[kind]) });
      } finally {
        member.leave();
      }
    };
}

function overloaded(waitMs: number): CoreError {
  const retryAfterSeconds = Math.ceil(waitMs / 1000);
  const message = `There is more to compute here than a request should wait for: try again in ${retryAfterSeconds} s.`;
  return new CoreError('overloaded', message, { retryAfterSeconds });
}
