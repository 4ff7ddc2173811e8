// A value made once in an isolate by the first request that needs it. Requests share the value, never a promise.
import { createLease, inTurn } from './lease.ts';

const LEASE_MS = 30_000;

export type Lazy<T> = () => Promise<T>;

export function lazily<T>(make: () => Promise<T>): Lazy<T> {
  const lease = createLease(LEASE_MS);
  let made: { value: T } | undefined;
  return async function value() {
    made ??= await inTurn(lease, async () => made ?? { value: await make() });
    return made.value;
  };
}
