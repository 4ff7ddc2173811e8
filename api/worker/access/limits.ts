// Holds requests against the rate and the quota of their key: refusals that say when to ask again, and headers that say what is left.

import type { ApiKey } from '../../../contracts/src/api/api-key.ts';
import type { KeyTerms } from '../../../contracts/src/api/limits.ts';
import type { Left } from '../../../contracts/src/bulk/quota.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { type Allowance, remaining, type Standing, type Terms } from './counting.ts';

/** The counter of one key. */
export interface Counter {
  reserve(terms: Terms): Promise<Standing>;
  settle(used: Used): Promise<void>;
}
export interface Used {
  tokens: number;
  images: number;
}

const NOTHING: Used = { tokens: 0, images: 0 };

export interface LimitsOptions {
  /** The counter of the key with that digest. */
  counterOf: (digest: string) => Counter;
  /** The platform's own limiter, near the caller and inexact: it keeps a flood away from the counter. */
  flood?: { limit(options: { key: string }): Promise<{ success: boolean }> } | undefined;
  /** Keeps work alive after the answer. */
  background: (work: Promise<unknown>) => void;
}

/** A request that was let in. */
export interface Grant {
  /** What the key may ask for. */
  terms: KeyTerms;
  /** What of the quota is not used; absent: nothing is counted. */
  left?: Left;
  /**
   * Throws where the quota leaves none of what is needed, or fewer images; what the cache has counts like the rest. The request that
   * uses the tokens up is answered.
   */
  checkQuota(needed: Used): void;
  /** After the answer: counts what was used, less what is given back, and answers the headers that say what is left. */
  finish(used: Used & { returned?: Used }): Record<string, string>;
}

export interface Limits {
  /** Throws where the key has to wait; `headers` are then those of the refusal. */
  enter(key: ApiKey, request: { headers: Record<string, string> }): Promise<Grant>;
}

/** The binding's window. */
const FLOOD_SECONDS = 60;

export function createLimits({ counterOf, flood, background }: LimitsOptions): Limits {
  return {
    async enter(key, { headers }) {
      const { digest, prefix, rate, quota } = key;
      if (flood && !(await isWithin(flood, digest))) {
        const message = `The API key ${prefix}… floods this place: try again in ${FLOOD_SECONDS} seconds.`;
        throw new CoreError('rate_limited', message, { retryAfterSeconds: FLOOD_SECONDS });
      }
      const terms = { ...rate, ...quota };
      const counter = counterOf(digest);
      const standing = await counter.reserve({ rate, quota }).catch(logNotCounted);
      // A caller with a key is not turned away because counting fails.
      if (standing === undefined) return { terms, checkQuota: () => {}, finish: () => ({}) };
      Object.assign(headers, headersOf(standing));
      if (!standing.isAllowed) throw tooFast(prefix, standing.requests);
      const { tokens, images } = standing;
      return {
        terms,
        left: { tokens: leftOf(tokens), images: leftOf(images) },
        checkQuota(needed) {
          if (needed.tokens > 0 && remaining(tokens) === 0) throw spent(prefix, 'tokens', tokens);
          const { limit } = images;
          if (limit !== null && needed.images > limit) throw tooMany(prefix, needed.images, { ...images, limit });
          if (needed.images > remaining(images))
            throw spent(prefix, `images (this request has ${needed.images})`, images);
          images.used += needed.images;
        },
        finish({ returned = NOTHING, ...asked }) {
          const used = { tokens: asked.tokens - returned.tokens, images: asked.images - returned.images };
          if (used.tokens !== 0 || used.images !== 0) background(counter.settle(used).catch(logNotCounted));
          return headersOf({ ...standing, tokens: { ...tokens, used: Math.max(0, tokens.used + used.tokens) } });
        },
      };
    },
  };
}

/** Null: unlimited. */
const leftOf = (allowance: Allowance): number | null => (allowance.limit === null ? null : remaining(allowance));

async function isWithin(flood: NonNullable<LimitsOptions['flood']>, key: string): Promise<boolean> {
  try {
    return (await flood.limit({ key })).success;
  } catch (error) {
    logNotCounted(error);
    return true;
  }
}

function logNotCounted(error: unknown): undefined {
  const reason = reasonOf(error);
  console.error(JSON.stringify({ event: 'usage_not_counted', reason }));
}

function tooFast(prefix: string, { limit, used, resetMs }: Allowance): CoreError {
  const retryAfterSeconds = Math.max(1, Math.ceil(resetMs / 1000));
  const message = `The API key ${prefix}… may send ${limit} requests a minute and has sent ${used}: try again in ${retryAfterSeconds} s.`;
  return new CoreError('rate_limited', message, { retryAfterSeconds });
}

/** `what`: tokens, or images with how many of them the request has. */
function spent(prefix: string, what: string, { limit, used, resetMs }: Allowance): CoreError {
  const next = new Date(Date.now() + resetMs).toISOString().slice(0, 10);
  const message = `The API key ${prefix}… has used ${used} of ${limit} ${what} of this month: the next begins on ${next} (UTC).`;
  return new CoreError('quota_exceeded', message, { retryAfterSeconds: Math.ceil(resetMs / 1000) });
}

/** What no month would bring. */
function tooMany(prefix: string, images: number, { limit, used }: { limit: number; used: number }): CoreError {
  const message = `The API key ${prefix}… has used ${used} of ${limit} images (this request has ${images}) of this month, and no month has as many: send fewer, or ask for a larger quota.`;
  return new CoreError('quota_exceeded', message);
}

/** OpenAI's names and forms. Without a quota there is nothing to say of tokens. */
function headersOf({ requests, tokens }: Standing): Record<string, string> {
  return { ...three('requests', requests), ...(tokens.limit === null ? {} : three('tokens', tokens)) };
}

function three(what: string, allowance: Allowance): Record<string, string> {
  return {
    [`x-ratelimit-limit-${what}`]: String(allowance.limit),
    [`x-ratelimit-remaining-${what}`]: String(remaining(allowance)),
    [`x-ratelimit-reset-${what}`]: durationOf(allowance.resetMs),
  };
}

/** As Go prints a duration, which OpenAI does: `850ms`, `1s`, `6m0s`, `72h5m0s`. Rounded up: it is over by then. */
export function durationOf(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.ceil(milliseconds))}ms`;
  const seconds = Math.ceil(milliseconds / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (seconds < 60) return `${seconds}s`;
  return `${hours > 0 ? `${hours}h` : ''}${minutes}m${seconds % 60}s`;
}
