// When a model that was refused may be tried again: never at every look, and at the latest after an hour.

const MOST_MS = 3_600_000;

export interface Retries {
  /** False during the pause after a failure. */
  isDue(digest: string): boolean;
  /** Notes a failure and doubles the pause; true for the first, which is the one to log. */
  failed(digest: string): boolean;
}

/** `firstMs`: the pause after the first failure. */
export function createRetries(firstMs: number): Retries {
  const failures = new Map<string, { pause: number; until: number }>();
  return {
    isDue: (digest) => Date.now() >= (failures.get(digest)?.until ?? 0),
    failed(digest) {
      const before = failures.get(digest);
      const pause = Math.min(MOST_MS, before ? before.pause * 2 : firstMs);
      failures.set(digest, { pause, until: Date.now() + pause });
      return before === undefined;
    },
  };
}
