// A content that comes over a connection which may break off before its end: the rest is asked for again.
import type { ByteRange } from '../store.ts';
import { isTransient } from './aws-errors.ts';

/** Times that the rest is asked for although nothing came since it was asked for before. */
const TRIES = 3;

/**
 * The bytes of `range`. A store closes a connection that is not read from for a while, and whoever works on what it has may leave
 * the rest for minutes. `reopen`: the same content from that place on.
 */
export async function* resuming(
  first: AsyncIterable<Uint8Array>,
  { from, to }: ByteRange,
  reopen: (from: number) => Promise<AsyncIterable<Uint8Array>>,
): AsyncGenerator<Uint8Array> {
  let [stream, at, tries] = [first, from, 0];
  for (;;) {
    try {
      for await (const part of stream) {
        at += part.byteLength;
        tries = 0;
        yield part;
      }
      return;
    } catch (error) {
      tries += 1;
      if (!isTransient(error) || at >= to || tries > TRIES) throw error;
      stream = await reopen(at);
    }
  }
}
