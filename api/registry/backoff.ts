// Pauses between two tries of a model that was refused: they double, up to an hour.

const MAX_PAUSE_MS = 3_600_000;

export interface Backoff {
  /** False during the pause after a failure. */
  isDue(digest: string): boolean;
  /** Records a failure and doubles the pause. True for the first one, which is the one to log. */
  failed(digest: string): boolean;
}

/** `firstMs`: the pause after the first failure. */
export function createBackoff({ firstMs, now }: { firstMs: number; now: () => number }): Backoff {
  const failures = new Map<string, { pause: number; until: number }>();
  return {
    isDue: (digest) => now() >= (failures.get(digest)?.until ?? 0),
    failed(digest) {
      const before = failures.get(digest);
      const pause = Math.min(MAX_PAUSE_MS, before ? before.pause * 2 : firstMs);
      failures.set(digest, { pause, until: now() + pause });
      return before === undefined;
    },
  };
}
