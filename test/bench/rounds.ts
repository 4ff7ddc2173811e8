// Rounds of a measurement: what is compared takes turns in each of them, and the first ones are not counted.
import { median } from './process.ts';

/** WebAssembly is compiled again, better, while it runs: after this many requests with a short text nothing more is gained. */
const WARM_UP = 120;

/** Does it until nothing more is gained by it; once where there is a single round, which shows that it runs, not how fast. */
export async function warmUp(rounds: number, action: () => Promise<unknown>, times = WARM_UP): Promise<void> {
  for (let i = 0; i < (rounds > 1 ? times : 1); i++) await action();
}

/** What `take` finds in each of the rounds. As many as `uncounted` come before them, none before a single one. */
export async function inRounds<T>(rounds: number, take: () => Promise<T>, uncounted = 2): Promise<T[]> {
  const found: T[] = [];
  for (let round = rounds > 1 ? -uncounted : 0; round < rounds; round++) {
    const taken = await take();
    if (round >= 0) found.push(taken);
  }
  return found;
}

/** The median of each figure over all rounds, of which there is at least one. */
export function medians<T extends Record<keyof T, number>>(rounds: T[]): T {
  const names = Object.keys(rounds[0] ?? {}) as (keyof T)[];
  return Object.fromEntries(names.map((name) => [name, median(rounds.map((round) => round[name]))])) as T;
}
