// The immutable objects of a registry in the platform's cache, which the isolates of one data centre share: the next isolate does
// not fetch the files of a model from the bucket again.
import type { PlatformCache } from './edge.ts';

/** Objects never change; those of a model that is no longer opened make room. */
const SECONDS = 30 * 24 * 3600;

export interface ObjectCacheOptions {
  cache: PlatformCache;
  /** Keeps the isolate alive until the work is done. */
  background(work: Promise<unknown>): void;
}

/** For `near` of a registry's reader. A failure of the cache is a miss, and what it could not keep is read again. */
export function createObjectCache({ cache, background }: ObjectCacheOptions) {
  return {
    async get(key: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
      try {
        const response = await cache.match(addressOf(key));
        return response && new Uint8Array(await response.arrayBuffer());
      } catch {
        return undefined;
      }
    },
    put(key: string, bytes: Uint8Array<ArrayBuffer>): void {
      const headers = {
        'Cache-Control': `public, max-age=${SECONDS}, immutable`,
        'Content-Type': 'application/octet-stream',
      };
      // A copy: the reader of the object may detach its bytes before they are stored.
      const response = new Response(bytes.slice(), { headers });
      background(cache.put(addressOf(key), response).catch(() => {}));
    },
  };
}

type ObjectCache = ReturnType<typeof createObjectCache>;

/** Notes of what was verified, beside the copies. `by`: what verifies, such as a version of this Worker; another version verifies again. */
export function createProofs(cache: ObjectCache, by: string) {
  const keyOf = (digest: string): string => `verified/${by}/${digest}`;
  return {
    has: async (digest: string): Promise<boolean> => (await cache.get(keyOf(digest))) !== undefined,
    add: (digest: string): void => cache.put(keyOf(digest), Uint8Array.of(1)),
  };
}

const addressOf = (key: string): string => `https://registry.invalid/${key}`;
