// Queries, keys and values of one head as int16, keys and values in the order in which attention reads them.
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
  const low = whole(f32x4.mul(v128.load(at), factor));
  const high = whole(f32x4.mul(v128.load(at, 16), factor));
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
      const low = v128.shuffle<i32>(w, x, 0, 4, 1, 5);
      const high = v128.shuffle<i32>(w, x, 2, 6, 3, 7);
      const more = v128.shuffle<i32>(y, z, 0, 4, 1, 5);
      const most = v128.shuffle<i32>(y, z, 2, 6, 3, 7);
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
  for (let k: usize = 0; k < head; k += 32, from += 32) {
    let at = from;
    let token = 0;
    for (; token < tokens; token += 2, at += stride * 2, to += 32) {
      const x = narrowed(at, scale);
      const y = token + 1 < tokens ? narrowed(at + stride, scale) : i16x8.splat(0);
      v128.store(to, v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11));
      v128.store(to, v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    }
    for (; token & 7; token += 2, to += 32) put(to, i16x8.splat(0), i16x8.splat(0));
  }
}

/** Two vectors after each other. */
export function put(at: usize, first: v128, second: v128): void {
  v128.store(at, first);
  v128.store(at, second, 16);
}
