// The content of a file: bytes that lie in objects of a store, one after the other, and never change.
import { CoreError } from '../../../core/errors.ts';
import type { ByteRange, ObjectStore } from '../../../registry/store.ts';

export interface Content {
  /** Names these bytes and no others, as HTTP writes it. */
  etag: string;
  /** In bytes. */
  size: number;
  stream(range: ByteRange): AsyncIterable<Uint8Array>;
}

/** An object that holds some of the bytes. */
export interface Piece {
  key: string;
  size: number;
}

/** `identity`: whatever the bytes follow from. */
export function contentOf(store: ObjectStore, identity: string, pieces: Piece[]): Content {
  const size = pieces.reduce((total, piece) => total + piece.size, 0);
  return { etag: `"${identity}"`, size, stream: (range) => bytesIn(store, pieces, range) };
}

/** One after the other: a store may allow only few to be open. */
async function* bytesIn(store: ObjectStore, pieces: Piece[], { from, to }: ByteRange): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (const { key, size } of pieces) {
    const wanted = { from: Math.max(from - start, 0), to: Math.min(to - start, size) };
    start += size;
    let left = wanted.to - wanted.from;
    if (left <= 0) continue;
    const stream = await store.read(key, wanted);
    for await (const bytes of stream ?? []) {
      left -= bytes.byteLength;
      yield bytes;
    }
    // Its length was told: less of it must not look like all of it.
    if (left !== 0) throw new CoreError('not_found', 'The file, or a part of it, is not kept any more.');
  }
}
