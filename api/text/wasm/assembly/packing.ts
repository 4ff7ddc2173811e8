// The int8 matrices of layers in panels of 8 columns: weights panel by panel, then scale, sum and bias of each column in float32,
// then marks. A panel holds what products read, in their order: of 4 rows after each other, for each of the 8 columns, 4
// weights, and the steps turned two by two. Both builds pack like that, so that a file of packed weights serves either; `arrange` puts
// steps of 2 rows, or straight ones, in their place where those are what is multiplied: see sums.ts, and repairs.ts for the marks.

import { putTurned } from './panels';

/** What the weights of one sign may sum to in a number of int16, for activations up to 127. */
const ROOM: i16 = 258;

/**
 * From uint8 [depth, width] with zero point 128 at `from`, to panels at `to`. Scales and biases of the columns have to be
 * in place behind them. `depth` and `width` are multiples of 8.
 */
export function pack(from: usize, depth: i32, width: i32, to: usize): void {
  const stride = <usize>width;
  const scales = to + <usize>depth * stride;
  const sums = scales + (stride << 2);
  let marks = sums + (stride << 3);
  const zero = i8x16.splat(-128);
  const none = i32x4.splat(0);
  for (let column: usize = 0; column < stride; column += 8) {
    let low = none;
    let high = none;
    let at = from + column;
    for (let k = 0; k < depth; k += 8, to += 64) {
      for (let row: usize = 0; row < 64; row += 16, at += stride * 2) {
        const even = v128.xor(pair(at, at + stride), zero);
        v128.store(to + row, even);
        const both = i16x8.extadd_pairwise_i8x16_s(even);
        low = i32x4.add(low, i32x4.extend_low_i16x8_s(both));
        high = i32x4.add(high, i32x4.extend_high_i16x8_s(both));
      }
      interleave(to);
      interleave(to + 32);
      turn(to);
      store<u8>(marks++, markOf(to));
    }
    const scale = scales + (column << 2);
    const sum = sums + (column << 2);
    v128.store(sum, f32x4.mul(f32x4.convert_i32x4_s(low), v128.load(scale)));
    v128.store(sum, f32x4.mul(f32x4.convert_i32x4_s(high), v128.load(scale, 16)), 16);
  }
}

/** Two pairs of rows in turns, in place: four weights of each column lie together then. */
function interleave(at: usize): void {
  const first = v128.load(at);
  const second = v128.load(at, 16);
  v128.store(at, v128.shuffle<i16>(first, second, 0, 8, 1, 9, 2, 10, 3, 11));
  v128.store(at, v128.shuffle<i16>(first, second, 4, 12, 5, 13, 6, 14, 7, 15), 16);
}

/** Exchanges every other column of two steps, in place. */
function turn(at: usize): void {
  putTurned(at, v128.load(at), v128.load(at, 32));
  putTurned(at + 16, v128.load(at, 16), v128.load(at, 48));
}

/**
 * A packed matrix in the steps of this build, `turned` as `multiplyTurned` has them or straight as `multiply` has, in place. Once, before the first
 * product with it.
 */
export function arrange(matrix: usize, depth: i32, width: i32, turned: bool): void {
  if (ASC_FEATURE_RELAXED_SIMD && turned) return;
  for (const end = matrix + <usize>depth * <usize>width; matrix < end; matrix += 64) {
    turn(matrix);
    if (ASC_FEATURE_RELAXED_SIMD) continue;
    separate(matrix, turned);
    separate(matrix + 32, turned);
  }
}

/** Takes back what `interleave` did: two steps of 2 rows, eight columns each. */
function separate(at: usize, turned: bool): void {
  const low = v128.load(at);
  const high = v128.load(at, 16);
  const first = v128.shuffle<i16>(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
  const second = v128.shuffle<i16>(low, high, 1, 3, 5, 7, 9, 11, 13, 15);
  if (turned) {
    v128.store(at, v128.shuffle<i16>(first, second, 0, 9, 2, 11, 4, 13, 6, 15));
    v128.store(at, v128.shuffle<i16>(second, first, 0, 9, 2, 11, 4, 13, 6, 15), 16);
  } else {
    v128.store(at, first);
    v128.store(at, second, 16);
  }
}

/** Up to which activation the sums of two products with the weights of a round stay within int16. */
function markOf(round: usize): u8 {
  let most = i16x8.max_s(
    reachOf(v128.load(round), v128.load(round, 32)),
    reachOf(v128.load(round, 16), v128.load(round, 48)),
  );
  most = i16x8.max_s(most, i64x2.shr_u(most, 32));
  most = i16x8.max_s(most, i64x2.shr_u(most, 16));
  const reach = max(i16x8.extract_lane_s(most, 0), i16x8.extract_lane_s(most, 4));
  return reach > ROOM ? <u8>(<i32>i16.MAX_VALUE / <i32>reach) : i8.MAX_VALUE;
}

/** How far from 0 the weights of one sign of each lane of two products go. */
function reachOf(first: v128, second: v128): v128 {
  const none = i32x4.splat(0);
  const above = i16x8.add(
    i16x8.extadd_pairwise_i8x16_s(i8x16.max_s(first, none)),
    i16x8.extadd_pairwise_i8x16_s(i8x16.max_s(second, none)),
  );
  const below = i16x8.add(
    i16x8.extadd_pairwise_i8x16_s(i8x16.min_s(first, none)),
    i16x8.extadd_pairwise_i8x16_s(i8x16.min_s(second, none)),
  );
  return i16x8.max_s(above, i16x8.neg(below));
}

/** Eight bytes of each of two rows, in turns. */
function pair(first: usize, second: usize): v128 {
  return i8x16.shuffle(
    v128.load64_zero(first),
    v128.load64_zero(second),
    0,
    16,
    1,
    17,
    2,
    18,
    3,
    19,
    4,
    20,
    5,
    21,
    6,
    22,
    7,
    23,
  );
}
