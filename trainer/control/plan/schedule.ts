// Computes the time of stages side by side, in the order in which the runner begins them. Pure.

/** A stage that is not finished. */
export interface Scheduled {
  id: string;
  /** Ids of what it reads; those that are not in the list are finished. */
  needs: readonly string[];
  /** From its start to its end, beside others. */
  seconds: number;
}

/**
 * Seconds until all have ended, at most `places` at a time: whenever a place is free, the first in the list begins whose needs have
 * ended (as trainer/control/local/side-by-side.ts does).
 */
export function secondsSideBySide(stages: readonly Scheduled[], places: number): number {
  const waiting = new Set(stages);
  const missing = new Set(stages.map(({ id }) => id));
  const running = new Map<string, number>();
  let now = 0;
  for (;;) {
    for (const stage of waiting) {
      if (running.size === places) break;
      if (stage.needs.some((id) => missing.has(id))) continue;
      waiting.delete(stage);
      running.set(stage.id, now + stage.seconds);
    }
    if (running.size === 0) return now;
    now = Math.min(...running.values());
    for (const [id, end] of running) {
      if (end > now) continue;
      running.delete(id);
      missing.delete(id);
    }
  }
}
