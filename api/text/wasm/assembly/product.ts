// Products with the int8 matrices of layers, in panels of 8 columns, as `pack` writes them: weights panel by
// panel, then scale, sum and bias of each column in float32, then marks. A panel holds what the inner loop reads, in its
// order: of STEP rows after each other, for each of the 8 columns, STEP weights. Both builds pack for steps of 4, so that a file of
// packed weights serves either; `arrange` makes steps of 2 of them where those are what is multiplied.
//
// Plain SIMD128 has one product of whole numbers: int16 by int16, neighbours summed to int32. Weights are widened as they
// are loaded. Relaxed SIMD has one of bytes, int8 by 0..127 with neighbours summed to int16, which holds 2 x 127 x 128; it
// does twice as many products at once. Which of both this is decides `asc --enable relaxed-simd`.
//
// Widening to int32 is half of the work beside such products, so that it is done for the sum of two of them, 4 weights to
// a number: int16 holds that where the positive weights and the negative ones of the four sum to no more than 258 each,
// as nearly all do. `pack` marks the others, a byte for 8 rows of a panel, and `multiply` widens them one by one.
import { fused, gelu, geluTanh, quickGelu } from './math';

/** Rows of the matrix that the product of 4 lanes takes at once. */
const STEP: i32 = ASC_FEATURE_RELAXED_SIMD ? 4 : 2;

/** Bytes of a panel that two steps take. */
const GROUP: usize = 16 * STEP;

/** What the weights of one sign may sum to in a number of int16, for activations up to 127. */
const ROOM: i16 = 258;

/** What happens to a product before it is stored: nothing, one of three GELUs, or the number that is there is added. */
const GELU: i32 = 1;
const QUICK_GELU: i32 = 2;
const ADD: i32 = 3;
const GELU_TANH: i32 = 4;

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
      store<u8>(marks++, <u8>(!fits(v128.load(to), v128.load(to, 32)) || !fits(v128.load(to, 16), v128.load(to, 48))));
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

/** A packed matrix in the steps of this build, in place. Once, before the first product with it. */
export function arrange(matrix: usize, depth: i32, width: i32): void {
  if (ASC_FEATURE_RELAXED_SIMD) return;
  for (const end = matrix + <usize>depth * <usize>width; matrix < end; matrix += 32) separate(matrix);
}

/** Takes back what `interleave` did. */
function separate(at: usize): void {
  const first = v128.load(at);
  const second = v128.load(at, 16);
  v128.store(at, v128.shuffle<i16>(first, second, 0, 2, 4, 6, 8, 10, 12, 14));
  v128.store(at, v128.shuffle<i16>(first, second, 1, 3, 5, 7, 9, 11, 13, 15), 16);
}

/** Whether sums of two products with these weights stay within int16 whatever the activations are. */
function fits(first: v128, second: v128): bool {
  const none = i32x4.splat(0);
  const room = i16x8.splat(ROOM);
  const above = i16x8.add(
    i16x8.extadd_pairwise_i8x16_s(i8x16.max_s(first, none)),
    i16x8.extadd_pairwise_i8x16_s(i8x16.max_s(second, none)),
  );
  const below = i16x8.add(
    i16x8.extadd_pairwise_i8x16_s(i8x16.min_s(first, none)),
    i16x8.extadd_pairwise_i8x16_s(i8x16.min_s(second, none)),
  );
  return !v128.any_true(v128.or(i16x8.gt_s(above, room), i16x8.lt_s(below, i16x8.neg(room))));
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

/**
 * Rows of `quantize` times a packed matrix. Four rows by eight columns are summed in registers, or the last two rows; a
 * panel of the matrix stays in the nearest cache while all rows pass by. Where a row is missing in the last of these
 * blocks another is computed again rather than read from beyond.
 */
export function multiply(
  q: usize,
  info: usize,
  rows: i32,
  panels: usize,
  depth: i32,
  width: i32,
  out: usize,
  stride: usize,
  finish: i32,
): void {
  const size = <usize>depth * (ASC_FEATURE_RELAXED_SIMD ? 1 : 2);
  const columns = (<usize>width) << 2;
  let scales = panels + <usize>depth * <usize>width;
  let marks = scales + columns * 3;
  // Not a constant to the compilers, which would make it anew for each product: that takes a third of the speed.
  const ones = i16x8.splat(<i16>min(rows, 1));
  for (let column = 0; column < width; column += 8, scales += 32, out += 32) {
    const next = panels + ((<usize>depth) << 3);
    let row = 0;
    for (; row < rows - 2; row += 4) {
      const last = rows - 1 - row;
      let a = q + <usize>row * size;
      let b = a + size;
      let c = b + size;
      let d = a + <usize>min(last, 3) * size;
      let a0 = i32x4.splat(0);
      let a1 = a0,
        b0 = a0,
        b1 = a0,
        c0 = a0,
        c1 = a0,
        d0 = a0,
        d1 = a0;
      for (let w = panels, mark = marks; w < next; w += GROUP, a += 8, b += 8, c += 8, d += 8) {
        const w0 = weights(w, 0);
        const w1 = weights(w, 1);
        const w2 = weights(w, 2);
        const w3 = weights(w, 3);
        if (isMarked(mark++)) {
          let y = v128.load32_splat(a);
          let z = v128.load32_splat(a, 4);
          a0 = apart(a0, w0, w2, y, z, ones);
          a1 = apart(a1, w1, w3, y, z, ones);
          y = v128.load32_splat(b);
          z = v128.load32_splat(b, 4);
          b0 = apart(b0, w0, w2, y, z, ones);
          b1 = apart(b1, w1, w3, y, z, ones);
          y = v128.load32_splat(c);
          z = v128.load32_splat(c, 4);
          c0 = apart(c0, w0, w2, y, z, ones);
          c1 = apart(c1, w1, w3, y, z, ones);
          y = v128.load32_splat(d);
          z = v128.load32_splat(d, 4);
          d0 = apart(d0, w0, w2, y, z, ones);
          d1 = apart(d1, w1, w3, y, z, ones);
        } else {
          let y = v128.load32_splat(a);
          let z = v128.load32_splat(a, 4);
          a0 = together(a0, w0, w2, y, z, ones);
          a1 = together(a1, w1, w3, y, z, ones);
          y = v128.load32_splat(b);
          z = v128.load32_splat(b, 4);
          b0 = together(b0, w0, w2, y, z, ones);
          b1 = together(b1, w1, w3, y, z, ones);
          y = v128.load32_splat(c);
          z = v128.load32_splat(c, 4);
          c0 = together(c0, w0, w2, y, z, ones);
          c1 = together(c1, w1, w3, y, z, ones);
          y = v128.load32_splat(d);
          z = v128.load32_splat(d, 4);
          d0 = together(d0, w0, w2, y, z, ones);
          d1 = together(d1, w1, w3, y, z, ones);
        }
      }
      const to = out + <usize>row * stride;
      const facts = info + ((<usize>row) << 3);
      settle(a0, a1, facts, scales, columns, to, finish);
      settle(b0, b1, facts + 8, scales, columns, to + stride, finish);
      settle(c0, c1, facts + 16, scales, columns, to + stride * 2, finish);
      if (last > 2) settle(d0, d1, facts + 24, scales, columns, to + stride * 3, finish);
    }
    if (row < rows) {
      const last = rows - 1 - row;
      let a = q + <usize>row * size;
      let b = a + <usize>last * size;
      let a0 = i32x4.splat(0);
      let a1 = a0,
        b0 = a0,
        b1 = a0;
      for (let w = panels, mark = marks; w < next; w += GROUP, a += 8, b += 8) {
        const w0 = weights(w, 0);
        const w1 = weights(w, 1);
        const w2 = weights(w, 2);
        const w3 = weights(w, 3);
        if (isMarked(mark++)) {
          let y = v128.load32_splat(a);
          let z = v128.load32_splat(a, 4);
          a0 = apart(a0, w0, w2, y, z, ones);
          a1 = apart(a1, w1, w3, y, z, ones);
          y = v128.load32_splat(b);
          z = v128.load32_splat(b, 4);
          b0 = apart(b0, w0, w2, y, z, ones);
          b1 = apart(b1, w1, w3, y, z, ones);
        } else {
          let y = v128.load32_splat(a);
          let z = v128.load32_splat(a, 4);
          a0 = together(a0, w0, w2, y, z, ones);
          a1 = together(a1, w1, w3, y, z, ones);
          y = v128.load32_splat(b);
          z = v128.load32_splat(b, 4);
          b0 = together(b0, w0, w2, y, z, ones);
          b1 = together(b1, w1, w3, y, z, ones);
        }
      }
      const to = out + <usize>row * stride;
      const facts = info + ((<usize>row) << 3);
      settle(a0, a1, facts, scales, columns, to, finish);
      if (last > 0) settle(b0, b1, facts + 8, scales, columns, to + stride, finish);
    }
    panels = next;
    marks += <usize>depth >> 3;
  }
}

/** Weights of four columns of a panel: number 0 and 1 those of its first step, 2 and 3 those of its second. */
function weights(at: usize, number: usize): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? v128.load(at + number * 16) : v128.load_ext<i8>(at + number * 8);
}

/** Whether int16 may not hold sums of two steps there. */
function isMarked(mark: usize): bool {
  return ASC_FEATURE_RELAXED_SIMD && load<u8>(mark) !== 0;
}

/** Adds the products of two steps. */
function together(sum: v128, w: v128, v: v128, y: v128, z: v128, ones: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.add(dot(w, y), dot(v, z)), ones));
  return i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(w, y), i32x4.dot_i16x8_s(v, z)));
}

/** The same where that is marked. */
function apart(sum: v128, w: v128, v: v128, y: v128, z: v128, ones: v128): v128 {
  return i32x4.add(i32x4.add(sum, i32x4.dot_i16x8_s(dot(w, y), ones)), i32x4.dot_i16x8_s(dot(v, z), ones));
}

function dot(w: v128, y: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i16x8.relaxed_dot_i8x16_i7x16_s(w, y) : i32x4.dot_i16x8_s(w, y);
}

/** Sums of one row in eight columns become numbers: Σ x w = scale_row scale_column Σ q w + low_row sum_column + bias. */
function settle(first: v128, second: v128, info: usize, scales: usize, columns: usize, to: usize, finish: i32): void {
  const scale = v128.load32_splat(info);
  const low = v128.load32_splat(info, 4);
  v128.store(to, settled(first, scale, low, scales, columns, to, finish));
  v128.store(to, settled(second, scale, low, scales + 16, columns, to + 16, finish), 16);
}

function settled(sums: v128, scale: v128, low: v128, scales: usize, columns: usize, to: usize, finish: i32): v128 {
  const rest = fused(low, v128.load(scales + columns), v128.load(scales + columns * 2));
  const y = fused(f32x4.convert_i32x4_s(sums), f32x4.mul(scale, v128.load(scales)), rest);
  if (finish === GELU) return gelu(y);
  if (finish === QUICK_GELU) return quickGelu(y);
  if (finish === GELU_TANH) return geluTanh(y);
  return finish === ADD ? f32x4.add(y, v128.load(to)) : y;
}
