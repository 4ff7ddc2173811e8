// Waits of a request, as `Server-Timing` tells them. On the platform the clock moves with input, output and timers
// only: computing cannot be measured there, and is not listed. https://www.w3.org/TR/server-timing/

/** For its turns on the thread; for the platform's cache; for another request that computes the same; for the image encoder. */
export type Leg = 'queue' | 'cache' | 'shared' | 'encoder';

export interface Timing {
  waited(leg: Leg, ms: number): void;
  /** The leg lasts until the work is done, or fails. */
  waitFor<T>(leg: Leg, work: () => Promise<T>): Promise<T>;
  has(leg: Leg): boolean;
  /** In the order in which they ended; undefined: nothing was waited for. */
  header(): string | undefined;
}

export function createTiming(): Timing {
  const legs = new Map<Leg, number>();
  const waited = (leg: Leg, ms: number) => void legs.set(leg, (legs.get(leg) ?? 0) + ms);
  return {
    waited,
    async waitFor(leg, work) {
      const started = Date.now();
      try {
        return await work();
      } finally {
        waited(leg, Date.now() - started);
      }
    },
    has: (leg) => legs.has(leg),
    header: () => (legs.size > 0 ? [...legs].map(([leg, ms]) => `${leg};dur=${ms}`).join(', ') : undefined),
  };
}
