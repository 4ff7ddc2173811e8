// An R2 bucket as a Worker's binding gives it, as an object store. Objects are held in memory while they are written.
import { bytesOf, type Listed, type ObjectReader, type ObjectStore, storedObject } from '../store.ts';

interface R2Object {
  key: string;
  size: number;
  etag: string;
}
interface R2Body extends R2Object {
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** What a reader needs of a binding. */
export interface R2Reader {
  get(key: string, options?: { range: { offset: number; length: number } }): Promise<R2Body | null>;
}
/** What is needed of a binding in Workers, and of miniflare's in Node. */
export interface R2Binding extends R2Reader {
  head(key: string): Promise<R2Object | null>;
  put(
    key: string,
    value: Uint8Array<ArrayBuffer>,
    options?: { onlyIf: { etagMatches?: string; etagDoesNotMatch?: string } },
  ): Promise<R2Object | null>;
  list(options: {
    prefix: string;
    cursor?: string;
    startAfter?: string;
  }): Promise<{ objects: R2Object[]; truncated: boolean; cursor?: string }>;
}

const URI = 'r2:';

export function openR2Reader(bucket: R2Reader): ObjectReader {
  return {
    uri: URI,
    async get(key) {
      const object = await bucket.get(key);
      if (object === null) return undefined;
      const { size, etag } = object;
      const bytes = async () => new Uint8Array(await object.arrayBuffer());
      async function* stream() {
        yield await bytes();
      }
      return storedObject({ size, etag, stream, bytes });
    },
  };
}

export function openR2Store(bucket: R2Binding): ObjectStore {
  return {
    ...openR2Reader(bucket),
    async read(key, { from, to }) {
      const object = await bucket.get(key, { range: { offset: from, length: to - from } });
      if (object === null) return undefined;
      async function* stream(body: R2Body) {
        yield new Uint8Array(await body.arrayBuffer());
      }
      return stream(object);
    },
    async put(key, body, condition) {
      // Asked first: what is there already need not be read, nor sent.
      if (condition === 'absent' && (await bucket.head(key)) !== null) return false;
      const options = condition === undefined ? undefined : { onlyIf: toConditional(condition) };
      return (await bucket.put(key, await bytesOf(body), options)) !== null;
    },
    async list(prefix, { after, most } = {}) {
      const found: Listed[] = [];
      let cursor: string | undefined;
      do {
        const startAfter = after === undefined ? {} : { startAfter: after };
        const page = await bucket.list({ prefix, ...(cursor === undefined ? startAfter : { cursor }) });
        for (const { key, size } of page.objects) found.push({ key, size });
        cursor = page.truncated ? page.cursor : undefined;
      } while (cursor !== undefined && found.length < (most ?? Infinity));
      return found.slice(0, most);
    },
  };
}

function toConditional(condition: { etag: string } | 'absent') {
  return condition === 'absent' ? { etagDoesNotMatch: '*' } : { etagMatches: condition.etag };
}
