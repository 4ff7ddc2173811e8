// Work that one request of an isolate does at a time, without a promise that two requests share.
//
// The rule of workerd: a request must not await a promise that another request resolves. workerd cancels such a wait, and
// kills a request that does nothing else. A request whose client goes away is dropped as it stands, so that its `finally`
// may never run. Requests therefore share plain values only. The request that works holds a lease, which runs out by itself, and
// the others poll it, each on a timer of its own.

const POLL_MS = 5;

export interface Lease {
  end(): void;
}
export interface Lock {
  /** Undefined while another request holds a lease that has not run out. */
  take(): Lease | undefined;
}

/** `ms`: longer than the work takes. A lease that is older belongs to a request that was dropped. */
export function createLock(ms: number): Lock {
  let holder: { since: number } | undefined;
  return {
    take() {
      if (holder && Date.now() - holder.since <= ms) return undefined;
      const mine = { since: Date.now() };
      holder = mine;
      return {
        end() {
          if (holder === mine) holder = undefined;
        },
      };
    },
  };
}

/** Runs `work` as soon as no other request holds the lock. */
export async function withLease<T>(lock: Lock, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const lease = lock.take();
    if (!lease) await sleep(POLL_MS);
    else {
      try {
        return await work();
      } finally {
        lease.end();
      }
    }
  }
}

/** Lets other requests of the isolate run. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
