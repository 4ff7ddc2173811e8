// How many requests may compute texts at the same time: the runtime is one synchronous block, so more would only queue.
import { ApiError } from '../http/errors.ts';

/** Beyond four the queue grows linearly and throughput does not. */
const PERMITS = 4;
/** A request cancelled by its client may never give its permit back; after this it no longer counts. */
const LEASE_MS = 60_000;

export type Admission = <T>(work: () => Promise<T>) => Promise<T>;

export function createAdmission(permits = PERMITS): Admission {
  const held = new Set<{ since: number }>();
  return async function admit(work) {
    for (const permit of held) if (Date.now() - permit.since > LEASE_MS) held.delete(permit);
    if (held.size >= permits) {
      const message = `${held.size} requests are being computed here, the limit is ${permits}: try again in a second`;
      throw new ApiError('overloaded', message, { headers: { 'Retry-After': '1' } });
    }
    const permit = { since: Date.now() };
    held.add(permit);
    try {
      return await work();
    } finally {
      held.delete(permit);
    }
  };
}
