// A value made once in an isolate by the first request that needs it. Requests share the value, never a promise.

/** A maker that has not finished by then was cancelled with its request: the next waiter makes the value itself. */
const LEASE_MS = 30_000;
const POLL_MS = 5;

export type Lazy<T> = () => Promise<T>;

/**
 * workerd cancels what a request awaits when another request was to resolve it, and kills a request that only waits for
 * such a promise; so every waiter sleeps on its own timer and looks at plain data.
 */
export function lazily<T>(make: () => Promise<T>): Lazy<T> {
  let made: { value: T } | undefined;
  let makerSince: number | undefined;
  return async function value() {
    while (!made) {
      if (makerSince === undefined || Date.now() - makerSince > LEASE_MS) {
        makerSince = Date.now();
        try {
          made = { value: await make() };
        } finally {
          makerSince = undefined;
        }
      } else await sleep(POLL_MS);
    }
    return made.value;
  };
}

/** Lets other requests of the isolate run. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
