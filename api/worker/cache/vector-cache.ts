// Computes once what several requests ask for: stored vectors first; of equal requests at a time one computes and the others wait.
//
// They share plain values only (see isolate/lease.ts): a claim says what is being computed, until when. A request that waits looks
// again on a timer of its own, and computes itself where the claim ran out or ended without a vector.
import type { CacheOptions, Outcome, VectorCache } from '../../core/encode/cache.ts';
import { sleep } from '../isolate/lease.ts';
import type { EdgeStore } from './edge.ts';
import type { VectorStore } from './memory.ts';
import { type Stored, storable } from './stored.ts';

const POLL_MS = 5;

interface Claim {
  until: number;
}

export interface VectorCacheOptions {
  memory: VectorStore;
  edge?: EdgeStore | undefined;
}

export function createVectorCache({ memory, edge }: VectorCacheOptions): VectorCache {
  /** Those that were made last are at the end. */
  const claims = new Map<string, Claim>();
  const isClaimed = (key: string) => (claims.get(key)?.until ?? 0) > Date.now();

  const fromMemory = (keys: string[]): [string, Stored][] =>
    keys.flatMap((key): [string, Stored][] => {
      const stored = memory.get(key);
      return stored ? [[key, stored]] : [];
    });
  const fromEdge = async (keys: string[], { onWait }: CacheOptions): Promise<[string, Stored][]> => {
    if (!edge || keys.length === 0) return [];
    const started = Date.now();
    const found = await edge.get(keys);
    onWait?.('cache', Date.now() - started);
    for (const [key, stored] of found) memory.put(key, stored);
    return found;
  };
  const store = (entries: [string, Outcome][]) => {
    const kept = entries.flatMap(([key, outcome]): [string, Stored][] => {
      const stored = storable(outcome);
      return stored ? [[key, stored]] : [];
    });
    for (const [key, stored] of kept) memory.put(key, stored);
    if (kept.length > 0) edge?.put(kept);
  };
  const computeClaimed = async (
    keys: string[],
    compute: (missing: string[]) => Promise<Outcome[]>,
    { forMs }: CacheOptions,
  ): Promise<[string, Outcome][]> => {
    forgetEnded(claims);
    const mine: Claim = { until: Date.now() + forMs };
    for (const key of keys) {
      claims.delete(key);
      claims.set(key, mine);
    }
    try {
      const results = await compute(keys);
      const entries = keys.map((key, index): [string, Outcome] => [key, results[index]]);
      store(entries);
      return entries;
    } finally {
      for (const key of keys) if (claims.get(key) === mine) claims.delete(key);
    }
  };

  return {
    async through(keys, compute, options) {
      const outcomes = new Map<string, Outcome>();
      const stored = new Set<string>();
      const missing = () => [...new Set(keys)].filter((key) => !outcomes.has(key));
      const take = (entries: [string, Stored][]) => {
        for (const [key, outcome] of entries) {
          outcomes.set(key, outcome);
          stored.add(key);
        }
      };
      take(fromMemory(missing()));
      take(await fromEdge(missing(), options));
      while (missing().length > 0) {
        const free = missing().filter((key) => !isClaimed(key));
        // Its own work first: two requests that wait for each other have both computed what they claimed.
        if (free.length > 0) {
          for (const [key, outcome] of await computeClaimed(free, compute, options)) outcomes.set(key, outcome);
        } else {
          const started = Date.now();
          await sleep(POLL_MS);
          options.onWait?.('shared', Date.now() - started);
        }
        take(fromMemory(missing()));
      }
      return { outcomes, stored };
    },
  };
}

/** Claims of requests that were dropped, whose `finally` never runs, up to the first that still holds: none stays behind for longer than that. */
function forgetEnded(claims: Map<string, Claim>): void {
  const now = Date.now();
  for (const [key, { until }] of claims) {
    if (until > now) return;
    claims.delete(key);
  }
}
