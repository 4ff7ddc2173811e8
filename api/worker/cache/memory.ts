// Vectors in the isolate's memory, up to a number of bytes; what was not used for the longest time goes first.
import type { Stored } from './stored.ts';

/** What an entry takes beside its numbers: the key, the map's slot, the array's own object. */
const ENTRY_BYTES = 256;

export interface VectorStore {
  get(key: string): Stored | undefined;
  put(key: string, stored: Stored): void;
}

export function createMemoryStore(maxBytes: number): VectorStore {
  // A Map keeps the order in which keys were put: the first one is the oldest.
  const entries = new Map<string, Stored>();
  let bytes = 0;
  const sizeOf = ({ vector }: Stored) => vector.byteLength + ENTRY_BYTES;
  const remove = (key: string) => {
    const stored = entries.get(key);
    if (!stored) return;
    entries.delete(key);
    bytes -= sizeOf(stored);
  };
  return {
    get(key) {
      const stored = entries.get(key);
      if (!stored) return undefined;
      entries.delete(key);
      entries.set(key, stored);
      return stored;
    },
    put(key, stored) {
      remove(key);
      entries.set(key, stored);
      bytes += sizeOf(stored);
      for (const oldest of entries.keys()) {
        if (bytes <= maxBytes) break;
        remove(oldest);
      }
    },
  };
}
