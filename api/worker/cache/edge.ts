// Vectors in the platform's cache, which the isolates of one data centre share. It takes GET requests only: a vector is
// stored under an address that no client can ask for.
import { ImageReceipt } from '../../../contracts/src/api/embed.ts';
import { fromFloat32Bytes } from '../../core/vectors/vectors.ts';
import { type Stored, storable } from './stored.ts';

/** Look-ups of a request, and as many writes: each is a subrequest, of which the free plan allows 50 in all. */
const MOST = 16;
/** Header that carries what an image file turned out to be. */
const PICTURE = 'X-Picture';
const SECONDS = 7 * 24 * 3600;

export interface EdgeStore {
  /** Those that are there; a failure is a miss. */
  get(keys: string[]): Promise<[key: string, stored: Stored][]>;
  /** In the background. */
  put(entries: [key: string, stored: Stored][]): void;
}

/** What of the platform's Cache is used; it answers on addresses of our own, which no client can ask for. */
export interface PlatformCache {
  match(address: string): Promise<Response | undefined>;
  put(address: string, response: Response): Promise<void>;
}

export interface EdgeOptions {
  cache: PlatformCache;
  /** Keeps the isolate alive until the work is done. */
  background(work: Promise<unknown>): void;
}

export function createEdgeStore({ cache, background }: EdgeOptions): EdgeStore {
  const read = async (key: string): Promise<[string, Stored][]> => {
    try {
      const response = await cache.match(addressOf(key));
      const stored = response && (await fromResponse(response));
      return stored ? [[key, stored]] : [];
    } catch {
      return [];
    }
  };
  const write = async ([key, stored]: [string, Stored]): Promise<void> => {
    try {
      await cache.put(addressOf(key), toResponse(stored));
    } catch {
      // It was not stored, and is computed again.
    }
  };
  return {
    get: async (keys) => (await Promise.all(keys.slice(0, MOST).map(read))).flat(),
    put: (entries) => background(Promise.all(entries.slice(0, MOST).map(write))),
  };
}

function addressOf(key: string): string {
  return `https://vectors.invalid/${key}`;
}

function toResponse({ vector, picture }: Stored): Response {
  const headers = new Headers({
    'Cache-Control': `public, max-age=${SECONDS}`,
    'Content-Type': 'application/octet-stream',
  });
  if (picture) headers.set(PICTURE, encodeURIComponent(JSON.stringify(picture)));
  return new Response(vector.slice(), { headers });
}

async function fromResponse(response: Response): Promise<Stored | undefined> {
  const vector = fromFloat32Bytes(new Uint8Array(await response.arrayBuffer()));
  const picture = response.headers.get(PICTURE);
  const receipt = picture === null ? {} : { picture: ImageReceipt.parse(JSON.parse(decodeURIComponent(picture))) };
  return storable({ vector, ...receipt });
}
