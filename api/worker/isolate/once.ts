// A value made once per isolate, by the first request that needs it.
import { createLock, withLease } from './lease.ts';

/** Longer than reading and opening a model takes. */
const LEASE_MS = 30_000;

export function once<T>(make: () => Promise<T>): () => Promise<T> {
  const lock = createLock(LEASE_MS);
  let made: { value: T } | undefined;
  return async function value() {
    made ??= await withLease(lock, async () => made ?? { value: await make() });
    return made.value;
  };
}
