// Reads API keys by their digest and remembers them for a while, so that a request costs microseconds.

import { ApiKey } from '../../../contracts/src/api/api-key.ts';
import { API_KEYS, apiKeyKey } from '../../../contracts/src/keys.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';

/** What is used of Workers KV. */
export interface KeyNamespace {
  get(name: string, options: { cacheTtl: number }): Promise<string | null>;
  list(options: { prefix: string; limit: number }): Promise<{ keys: unknown[] }>;
}

export interface KeyCacheOptions {
  /** How long a key is used before it is read again: a revoked one goes on for as long. */
  seconds: number;
  /** The same for a digest without a key. */
  secondsUnknown: number;
  /** The most of each that are remembered. */
  size: number;
  now: () => number;
}

/** KV's own copy near the reader lives at least this long. Together with ours a revocation takes a minute. */
const KV_CACHE_SECONDS = 30;
const DEFAULTS: KeyCacheOptions = { seconds: 30, secondsUnknown: 5, size: 1000, now: Date.now };
/** While KV fails, known keys are not read again for this long. */
const RETRY_MS = 5000;

interface Entry {
  key: ApiKey | undefined;
  /** Until then it is used as it is. */
  until: number;
}

export interface KeyCache {
  /** The key of that digest; undefined: there is none. Throws `keys_unavailable`. */
  find(digest: string): Promise<ApiKey | undefined>;
  /** Whether there is any key. */
  hasAny(): Promise<boolean>;
}

/** Each request reads for itself: a request must not await what another one resolves. */
export function createKeyCache(namespace: KeyNamespace, options: Partial<KeyCacheOptions> = {}): KeyCache {
  const { seconds, secondsUnknown, size, now } = { ...DEFAULTS, ...options };
  // Apart, so that guessed keys push no real one out.
  const [known, unknown] = [new Map<string, Entry>(), new Map<string, Entry>()];
  let any: { has: boolean; until: number } | undefined;

  function remember(digest: string, key: ApiKey | undefined): void {
    known.delete(digest);
    unknown.delete(digest);
    const [entries, life] = key === undefined ? [unknown, secondsUnknown] : [known, seconds];
    entries.set(digest, { key, until: now() + life * 1000 });
    const [oldest] = entries.keys();
    if (entries.size > size && oldest !== undefined) entries.delete(oldest);
  }

  return {
    async find(digest) {
      const entry = known.get(digest) ?? unknown.get(digest);
      if (entry && now() < entry.until) return entry.key;
      try {
        remember(digest, readKey(await namespace.get(apiKeyKey(digest), { cacheTtl: KV_CACHE_SECONDS }), digest));
        return known.get(digest)?.key;
      } catch (error) {
        console.error(JSON.stringify({ event: 'keys_unavailable', reason: reasonOf(error) }));
        if (entry?.key === undefined) throw unavailable();
        entry.until = now() + RETRY_MS;
        return entry.key;
      }
    },
    async hasAny() {
      if (any && now() < any.until) return any.has;
      try {
        const { keys } = await namespace.list({ prefix: API_KEYS, limit: 1 });
        any = { has: keys.length > 0, until: now() + secondsUnknown * 1000 };
      } catch (error) {
        console.error(JSON.stringify({ event: 'keys_unavailable', reason: reasonOf(error) }));
        if (any === undefined) throw unavailable();
        any.until = now() + RETRY_MS;
      }
      return any.has;
    },
  };
}

/** The document must be of the key that it is stored under: both are digests, and take the same time to compare. */
function readKey(text: string | null, digest: string): ApiKey | undefined {
  if (text === null) return undefined;
  const key = ApiKey.parse(JSON.parse(text));
  if (!isEqual(key.digest, digest)) throw new Error(`the document of another key (${key.prefix}) is stored there`);
  return key;
}

/** Reads both to the end, whatever differs. */
function isEqual(one: string, other: string): boolean {
  let difference = one.length ^ other.length;
  for (let i = 0; i < one.length; i++) difference |= one.charCodeAt(i) ^ other.charCodeAt(i);
  return difference === 0;
}

function unavailable(): CoreError {
  const message = 'API keys cannot be looked up at the moment: try again in a few seconds.';
  return new CoreError('keys_unavailable', message, { retryAfterSeconds: RETRY_MS / 1000 });
}
