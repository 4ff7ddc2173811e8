// Queries, keys and values of one head as int16, keys and values in the order in which attention reads them: two pairs of dimensions, or of
// tokens, are exchanged in every other column, as steps are that are turned (see sums.ts).
import { largest, whole } from './math';

/** The largest absolute value of `tokens` rows of `head` bytes. Four sums at a time, so that none waits for the one before. */
export function range(from: usize, stride: usize, tokens: i32, head: usize): f32 {
  let a = f32x4.splat(0);
  let b = a,
    c = a,
    d = a;
  for (let token = 0; token < tokens; token++, from += stride) {
    for (let at = from, end = from + head; at < end; at += 64) {
      // Where no more than eight numbers are left they are looked at twice.
      const other = min(at + 32, end - 32);
      a = f32x4.pmax(a, f32x4.abs(v128.load(at)));
      b = f32x4.pmax(b, f32x4.abs(v128.load(at, 16)));
      c = f32x4.pmax(c, f32x4.abs(v128.load(other)));
      d = f32x4.pmax(d, f32x4.abs(v128.load(other, 16)));
    }
  }
  return largest(f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)));
}

/** Eight numbers times `factor`, as int16. */
function narrowed(at: usize, factor: v128): v128 {
  const low = whole(v128.load(at), factor);
  const high = whole(v128.load(at, 16), factor);
  return i16x8.narrow_i32x4_s(low, high);
}

/** Numbers of one row times `factor`, as int16. */
export function narrow(from: usize, head: usize, factor: f32, to: usize): void {
  const scale = f32x4.splat(factor);
  for (const end = from + head; from < end; from += 32, to += 16) v128.store(to, narrowed(from, scale));
}

/** Keys of one head in panels of eight: for each two dimensions, those numbers of the eight keys. Past the last one it is repeated. */
export function packKeys(from: usize, stride: usize, tokens: i32, head: usize, factor: f32, to: usize): void {
  const scale = f32x4.splat(factor);
  for (let token = 0; token < tokens; token += 4) {
    const last = <usize>(tokens - 1 - token);
    const a = from + <usize>token * stride;
    const b = a + min<usize>(last, 1) * stride;
    const c = a + min<usize>(last, 2) * stride;
    const d = a + min<usize>(last, 3) * stride;
    let at = to + <usize>(token >> 3) * (head << 2) + ((<usize>(token & 4)) << 2);
    for (let k: usize = 0; k < head; k += 32, at += 128) {
      const w = narrowed(a + k, scale);
      const x = narrowed(b + k, scale);
      const y = narrowed(c + k, scale);
      const z = narrowed(d + k, scale);
      const low = v128.shuffle<i32>(w, x, 0, 5, 1, 4);
      const high = v128.shuffle<i32>(w, x, 2, 7, 3, 6);
      const more = v128.shuffle<i32>(y, z, 0, 5, 1, 4);
      const most = v128.shuffle<i32>(y, z, 2, 7, 3, 6);
      v128.store(at, v128.shuffle<i64>(low, more, 0, 2));
      v128.store(at, v128.shuffle<i64>(low, more, 1, 3), 32);
      v128.store(at, v128.shuffle<i64>(high, most, 0, 2), 64);
      v128.store(at, v128.shuffle<i64>(high, most, 1, 3), 96);
    }
  }
}

/** Values of one head in panels of eight dimensions: those of each two tokens, with zeros up to a multiple of eight tokens. */
export function packValues(from: usize, stride: usize, tokens: i32, head: usize, factor: f32, to: usize): void {
  const scale = f32x4.splat(factor);
  const rounded = (tokens + 7) & -8;
  for (let k: usize = 0; k < head; k += 32, from += 32) {
    let at = from;
    for (let left = tokens, end = tokens - rounded; left > end; left -= 4, at += stride * 4, to += 64) {
      const w = left > 0 ? narrowed(at, scale) : i16x8.splat(0);
      const x = left > 1 ? narrowed(at + stride, scale) : i16x8.splat(0);
      const y = left > 2 ? narrowed(at + stride * 2, scale) : i16x8.splat(0);
      const z = left > 3 ? narrowed(at + stride * 3, scale) : i16x8.splat(0);
      putTurned(to, lowPairs(w, x), lowPairs(y, z));
      putTurned(to + 16, highPairs(w, x), highPairs(y, z));
    }
  }
}

function lowPairs(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
}

function highPairs(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Two vectors of four columns, 32 bytes apart, with every other column exchanged: straight ones become turned, and turned ones straight. */
export function putTurned(at: usize, first: v128, second: v128): void {
  v128.store(at, v128.shuffle<i32>(first, second, 0, 5, 2, 7));
  v128.store(at, v128.shuffle<i32>(second, first, 0, 5, 2, 7), 32);
}

/** Two vectors after each other. */
export function put(at: usize, first: v128, second: v128): void {
  v128.store(at, first);
  v128.store(at, second, 16);
}
