// Products with matrices. Those of the layers are int8 in panels of 8 columns, as `pack` writes them: weights panel by
// panel, then scale, sum and bias of each column in float32. A panel holds what the inner loop reads, in its order: of
// STEP rows after each other, for each of the 8 columns, STEP weights.
//
// Plain SIMD128 has one product of whole numbers: int16 by int16, neighbours summed to int32. Weights are widened as they
// are loaded. Relaxed SIMD has one of bytes, int8 by 0..127 with neighbours summed to int16, which holds 2 x 127 x 128; it
// does twice as many products at once. Which of both this is decides `asc --enable relaxed-simd`.
import { gelu, quickGelu } from './math';

/** Rows of the matrix that the product of 4 lanes takes at once. */
const STEP: i32 = ASC_FEATURE_RELAXED_SIMD ? 4 : 2;

/** What happens to a product before it is stored: nothing, GELU, x σ(1.702 x), or the number that is there is added. */
const GELU: i32 = 1;
const QUICK_GELU: i32 = 2;
const ADD: i32 = 3;

/**
 * From uint8 [depth, width] with zero point 128 at `from`, to panels at `to`. Scales and biases of the columns have to be
 * in place behind them. `depth` is a multiple of 4, `width` of 8.
 */
export function pack(from: usize, depth: i32, width: i32, to: usize): void {
  const stride = <usize>width;
  const scales = to + <usize>depth * stride;
  const sums = scales + (stride << 2);
  const zero = i8x16.splat(-128);
  for (let column: usize = 0; column < stride; column += 8) {
    let low = i32x4.splat(0);
    let high = low;
    let at = from + column;
    for (let k = 0; k < depth; k += STEP, at += stride * STEP) {
      const even = v128.xor(pair(at, at + stride), zero);
      let odd = even;
      if (ASC_FEATURE_RELAXED_SIMD) {
        odd = v128.xor(pair(at + stride * 2, at + stride * 3), zero);
        v128.store(to, v128.shuffle<i16>(even, odd, 0, 8, 1, 9, 2, 10, 3, 11));
        v128.store(to, v128.shuffle<i16>(even, odd, 4, 12, 5, 13, 6, 14, 7, 15), 16);
        const more = i16x8.extadd_pairwise_i8x16_s(odd);
        low = i32x4.add(low, i32x4.extend_low_i16x8_s(more));
        high = i32x4.add(high, i32x4.extend_high_i16x8_s(more));
        to += 32;
      } else {
        v128.store(to, even);
        to += 16;
      }
      const both = i16x8.extadd_pairwise_i8x16_s(even);
      low = i32x4.add(low, i32x4.extend_low_i16x8_s(both));
      high = i32x4.add(high, i32x4.extend_high_i16x8_s(both));
    }
    const scale = scales + (column << 2);
    const sum = sums + (column << 2);
    v128.store(sum, f32x4.mul(f32x4.convert_i32x4_s(low), v128.load(scale)));
    v128.store(sum, f32x4.mul(f32x4.convert_i32x4_s(high), v128.load(scale, 16)), 16);
  }
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
 * Rows of `quantize` times a packed matrix. Four rows by eight columns are summed in registers; a panel of the matrix stays
 * in the nearest cache while all rows pass by. The last rows of a block are computed again rather than read from beyond.
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
  // Not a constant to the compilers, which would make it anew for each product: that takes a third of the speed.
  const ones = i16x8.splat(<i16>min(rows, 1));
  for (let column = 0; column < width; column += 8, scales += 32, out += 32) {
    const next = panels + ((<usize>depth) << 3);
    for (let row = 0; row < rows; row += 4) {
      const last = rows - 1 - row;
      let a = q + <usize>row * size;
      let b = a + <usize>min(last, 1) * size;
      let c = a + <usize>min(last, 2) * size;
      let d = a + <usize>min(last, 3) * size;
      let a0 = i32x4.splat(0);
      let a1 = a0,
        b0 = a0,
        b1 = a0,
        c0 = a0,
        c1 = a0,
        d0 = a0,
        d1 = a0;
      for (let w = panels; w < next; w += 8 * STEP, a += 4, b += 4, c += 4, d += 4) {
        const w0 = weights(w, 0);
        const w1 = weights(w, 1);
        let y = v128.load32_splat(a);
        a0 = i32x4.add(a0, dot(w0, y, ones));
        a1 = i32x4.add(a1, dot(w1, y, ones));
        y = v128.load32_splat(b);
        b0 = i32x4.add(b0, dot(w0, y, ones));
        b1 = i32x4.add(b1, dot(w1, y, ones));
        y = v128.load32_splat(c);
        c0 = i32x4.add(c0, dot(w0, y, ones));
        c1 = i32x4.add(c1, dot(w1, y, ones));
        y = v128.load32_splat(d);
        d0 = i32x4.add(d0, dot(w0, y, ones));
        d1 = i32x4.add(d1, dot(w1, y, ones));
      }
      const to = out + <usize>row * stride;
      const facts = info + ((<usize>row) << 3);
      settle(a0, a1, facts, scales, columns, to, finish);
      if (last > 0) settle(b0, b1, facts + 8, scales, columns, to + stride, finish);
      if (last > 1) settle(c0, c1, facts + 16, scales, columns, to + stride * 2, finish);
      if (last > 2) settle(d0, d1, facts + 24, scales, columns, to + stride * 3, finish);
    }
    panels = next;
  }
}

/** Weights of four columns of a panel: `half` 0 those of the first four. */
function weights(at: usize, half: usize): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? v128.load(at + half * 16) : v128.load_ext<i8>(at + half * 8);
}

/** Sums of STEP products in each lane. */
function dot(w: v128, y: v128, ones: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(w, y), ones);
  return i32x4.dot_i16x8_s(w, y);
}

/** Sums of one row in eight columns become numbers: Σ x w = scale_row scale_column Σ q w + low_row sum_column + bias. */
function settle(first: v128, second: v128, info: usize, scales: usize, columns: usize, to: usize, finish: i32): void {
  const scale = v128.load32_splat(info);
  const low = v128.load32_splat(info, 4);
  v128.store(to, settled(first, scale, low, scales, columns, to, finish));
  v128.store(to, settled(second, scale, low, scales + 16, columns, to + 16, finish), 16);
}

function settled(sums: v128, scale: v128, low: v128, scales: usize, columns: usize, to: usize, finish: i32): v128 {
  const rest = f32x4.add(f32x4.mul(low, v128.load(scales + columns)), v128.load(scales + columns * 2));
  const y = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sums), f32x4.mul(scale, v128.load(scales))), rest);
  if (finish === GELU) return gelu(y);
  if (finish === QUICK_GELU) return quickGelu(y);
  return finish === ADD ? f32x4.add(y, v128.load(to)) : y;
}

/** Adds rows of `depth` numbers times a float32 matrix [depth, width] onto `out`. `width` is a multiple of 4. */
export function addProduct(x: usize, rows: i32, matrix: usize, depth: i32, width: i32, out: usize): void {
  const size = (<usize>width) << 2;
  for (let row = 0; row < rows; row++, x += (<usize>depth) << 2, out += size) {
    for (let at: usize = 0; at < size; at += 16) {
      let total = v128.load(out + at);
      for (let k = 0, w = matrix + at; k < depth; k++, w += size) {
        total = f32x4.add(total, f32x4.mul(v128.load32_splat(x + ((<usize>k) << 2)), v128.load(w)));
      }
      v128.store(out + at, total);
    }
  }
}
