// Limits how many requests compute long texts at the same time, and stops counting those whose client has gone.
import type { Admit } from '../../core/embed.ts';
import { CoreError } from '../../core/errors.ts';

/** Beyond four the queue grows linearly and throughput does not: the runtime is one synchronous block. */
const PERMITS = 4;
/** Work of so few tokens is done before anything else gets its turn, so that it takes nothing from the others. */
const SHORT_TOKENS = 64;
/** No text takes as long. A permit that was not renewed for this time belongs to a request that is not running. */
const LEASE_MS = 5_000;

/** For the request of that signal. */
export type Admission = (signal: AbortSignal) => Admit;

export function createAdmission({ permits = PERMITS } = {}): Admission {
  const held = new Set<{ renewed: number }>();
  return (signal) =>
    async function admit(tokens, work) {
      if (tokens <= SHORT_TOKENS) return work(signal);
      for (const permit of held) if (Date.now() - permit.renewed > LEASE_MS) held.delete(permit);
      if (held.size >= permits) {
        const message = `${held.size} requests are being computed here, the limit is ${permits}: try again in a second`;
        throw new CoreError('overloaded', message, { retryAfterSeconds: 1 });
      }
      const permit = { renewed: Date.now() };
      held.add(permit);
      const free = () => held.delete(permit);
      // workerd drops a cancelled request as it stands, so that `finally` is not reached; its listeners are called.
      signal.addEventListener('abort', free);
      try {
        return await work({
          get aborted() {
            return signal.aborted;
          },
          // Asked between two texts, which is when a request shows that it is still running.
          throwIfAborted() {
            permit.renewed = Date.now();
            signal.throwIfAborted();
          },
        });
      } finally {
        free();
      }
    };
}
