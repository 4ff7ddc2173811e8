// One worker at a time in an isolate, by plain data: whoever holds the lease works, all others go on or look again later.

const POLL_MS = 5;

export interface Turn {
  /** False once the lease ran out and somebody else took it. */
  isMine(): boolean;
  end(): void;
}
export interface Lease {
  /** Undefined while somebody else is at work. */
  take(): Turn | undefined;
}

/** A holder that has not ended by `ms` was cancelled with its request: the next one takes its place. */
export function createLease(ms: number): Lease {
  let holder: { since: number } | undefined;
  return {
    take() {
      if (holder && Date.now() - holder.since <= ms) return undefined;
      const mine = { since: Date.now() };
      holder = mine;
      return {
        isMine: () => holder === mine,
        end() {
          if (holder === mine) holder = undefined;
        },
      };
    },
  };
}

/**
 * Runs `work` when nobody else holds the lease. workerd cancels what a request awaits when another request was to
 * resolve it, and kills a request that only waits for such a promise; so every waiter sleeps on its own timer.
 */
export async function inTurn<T>(lease: Lease, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const turn = lease.take();
    if (!turn) await sleep(POLL_MS);
    else {
      try {
        return await work();
      } finally {
        turn.end();
      }
    }
  }
}

/** Lets other requests of the isolate run. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
