// Counts a key's requests in windows of a minute, and its tokens and images in months. Pure: the clock is given.
import type { ApiKey } from '../../../contracts/src/api/api-key.ts';

export type Terms = Pick<ApiKey, 'rate' | 'quota'>;

/** A window begins with the first request after the one before it. */
export interface Minute {
  started: number;
  requests: number;
}
export interface Month {
  /** Such as `2026-11`, of UTC. */
  month: string;
  tokens: number;
  images: number;
}

export interface Allowance {
  /** Null: unlimited. */
  limit: number | null;
  used: number;
  /** Milliseconds until `used` begins at zero again. */
  resetMs: number;
}
/** What a key has used, the request that asks included, and whether that request may go on. */
export interface Standing {
  isAllowed: boolean;
  requests: Allowance;
  tokens: Allowance;
  images: Allowance;
}

const MINUTE_MS = 60_000;

/** A refused request is not counted, so that a client that waits as long as it was told is answered. */
export function reserve(
  { minute, month }: { minute: Minute; month: Month },
  { rate, quota }: Terms,
  now: number,
): { minute: Minute; standing: Standing } {
  // A clock that was set back must not lock a key out.
  const isOver = now - minute.started >= MINUTE_MS || now < minute.started;
  const window = isOver ? { started: now, requests: 0 } : minute;
  const isAllowed = window.requests < rate.requests_per_minute;
  const counted = isAllowed ? { ...window, requests: window.requests + 1 } : window;
  const used = month.month === monthOf(now) ? month : { tokens: 0, images: 0 };
  const resetMs = startOfNextMonth(now) - now;
  return {
    minute: counted,
    standing: {
      isAllowed,
      requests: {
        limit: rate.requests_per_minute,
        used: counted.requests,
        resetMs: counted.started + MINUTE_MS - now,
      },
      tokens: { limit: quota.tokens_per_month, used: used.tokens, resetMs },
      images: { limit: quota.images_per_month, used: used.images, resetMs },
    },
  };
}

/** Adds to the month of `now`. Negative amounts are given back, down to zero at most. */
export function settle(month: Month, used: { tokens: number; images: number }, now: number): Month {
  const current = monthOf(now);
  const before = month.month === current ? month : { tokens: 0, images: 0 };
  const count = (name: 'tokens' | 'images'): number => Math.max(0, before[name] + used[name]);
  return { month: current, tokens: count('tokens'), images: count('images') };
}

export function remaining({ limit, used }: Allowance): number {
  return limit === null ? Number.POSITIVE_INFINITY : Math.max(0, limit - used);
}

function monthOf(now: number): string {
  return new Date(now).toISOString().slice(0, 7);
}

function startOfNextMonth(now: number): number {
  const date = new Date(now);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}
