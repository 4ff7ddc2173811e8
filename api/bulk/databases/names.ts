// The names of a job's vectors, to tell those that come again: a hash of each in one table, since a job may have millions of them.
import { hash } from 'node:crypto';

/** Places for each name: a table that is fuller is searched for long. */
const ROOM = 1.25;

/**
 * Adds a name, of `most` at most, and answers whether it is new. Ten bytes are taken for each, at once; a Set holds no more than 16.8
 * million. A name is 64 bits of its SHA-256: that two of ten million are taken for one happens three times in a million.
 */
export function createNames(most: number): (name: string) => boolean {
  const places = Math.ceil(most * ROOM) + 1;
  const table = new Uint32Array(2 * places);
  return (name) => {
    const bytes = hash('sha256', name, 'buffer');
    // Zero is a free place.
    const [low, high] = [bytes.readUInt32LE(0) || 1, bytes.readUInt32LE(4)];
    let place = (high * 2 ** 21 + (low >>> 11)) % places;
    while (table[2 * place] !== 0) {
      if (table[2 * place] === low && table[2 * place + 1] === high) return false;
      place = (place + 1) % places;
    }
    table[2 * place] = low;
    table[2 * place + 1] = high;
    return true;
  };
}
