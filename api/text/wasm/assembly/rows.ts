// What is done to rows of float32 numbers: layer normalisation, quantisation, mean, product. Widths are multiples of 8.
import { fused, largest, sum, whole } from './math';

/** Layer normalisation of each row in place: (x - mean) / sqrt(variance + epsilon) * gain + bias. */
export function normalize(x: usize, rows: i32, width: i32, gain: usize, bias: usize, epsilon: f32): void {
  const size = (<usize>width) << 2;
  for (let row = 0; row < rows; row++, x += size) {
    // Two sums each, so that an addition does not wait for the one before.
    let total = f32x4.splat(0);
    let others = total;
    for (let at: usize = 0; at < size; at += 32) {
      total = f32x4.add(total, v128.load(x + at));
      others = f32x4.add(others, v128.load(x + at, 16));
    }
    const mean = f32x4.splat(sum(f32x4.add(total, others)) / <f32>width);
    let squares = f32x4.splat(0);
    others = squares;
    for (let at: usize = 0; at < size; at += 32) {
      const d = f32x4.sub(v128.load(x + at), mean);
      const e = f32x4.sub(v128.load(x + at, 16), mean);
      squares = fused(d, d, squares);
      others = fused(e, e, others);
    }
    const variance = sum(f32x4.add(squares, others)) / <f32>width;
    const factor = f32x4.splat(<f32>1 / sqrt<f32>(variance + epsilon));
    for (let at: usize = 0; at < size; at += 16) {
      const y = f32x4.mul(f32x4.sub(v128.load(x + at), mean), factor);
      v128.store(x + at, fused(y, v128.load(gain + at), v128.load(bias + at)));
    }
  }
}

/**
 * Each row in whole numbers of its own scale, so that its result does not depend on its neighbours: x = low + scale q.
 * `info` gets scale and low of each row. Plain: q is int16 within ±2047, so that the sum of 8,000 products with int8 fits
 * int32, and low is 0. Relaxed: q is 0..127, all that the relaxed product defines, and low the row's smallest number.
 */
export function quantize(x: usize, rows: i32, width: i32, q: usize, info: usize): void {
  const size = (<usize>width) << 2;
  for (let row = 0; row < rows; row++, x += size, info += 8) {
    let least = v128.load(x);
    let most = least;
    let lower = v128.load(x, 16);
    let upper = lower;
    for (let at: usize = 32; at < size; at += 32) {
      const y = v128.load(x + at);
      const z = v128.load(x + at, 16);
      least = f32x4.pmin(least, y);
      most = f32x4.pmax(most, y);
      lower = f32x4.pmin(lower, z);
      upper = f32x4.pmax(upper, z);
    }
    const bottom = -largest(f32x4.neg(f32x4.pmin(least, lower)));
    const top = largest(f32x4.pmax(most, upper));
    if (ASC_FEATURE_RELAXED_SIMD) {
      const range = top - bottom;
      const scale: f32 = range > 0 ? range / 127 : 1;
      store<f32>(info, scale);
      store<f32>(info, bottom, 4);
      const low = f32x4.splat(bottom);
      const factor = f32x4.splat(<f32>1 / scale);
      // Rounding may give 128 for the largest number; the narrowing to a signed byte below makes it 127.
      for (let at: usize = 0; at < size; at += 32, q += 8) {
        const first = whole(f32x4.sub(v128.load(x + at), low), factor);
        const second = whole(f32x4.sub(v128.load(x + at, 16), low), factor);
        const words = i16x8.narrow_i32x4_s(first, second);
        v128.store64_lane(q, i8x16.narrow_i16x8_s(words, words), 0);
      }
    } else {
      const extent = max(top, -bottom);
      const scale: f32 = extent > 0 ? extent / 2047 : 1;
      store<f32>(info, scale);
      store<f32>(info, 0, 4);
      const factor = f32x4.splat(<f32>1 / scale);
      for (let at: usize = 0; at < size; at += 32, q += 16) {
        const first = whole(v128.load(x + at), factor);
        const second = whole(v128.load(x + at, 16), factor);
        v128.store(q, i16x8.narrow_i32x4_s(first, second));
      }
    }
  }
}

/** The mean of the rows. */
export function mean(x: usize, rows: i32, width: i32, out: usize): void {
  const size = (<usize>width) << 2;
  const count = f32x4.splat(<f32>rows);
  for (let at: usize = 0; at < size; at += 16) {
    let total = f32x4.splat(0);
    for (let row = 0, from = x + at; row < rows; row++, from += size) total = f32x4.add(total, v128.load(from));
    v128.store(out + at, f32x4.div(total, count));
  }
}

/**
 * Adds rows of an int8 table [rows, width], each times its scale in float32, onto `out`: those whose numbers are `count`
 * uint32 at `ids`.
 */
export function addRows(ids: usize, count: i32, table: usize, scales: usize, width: i32, out: usize): void {
  const end = ids + ((<usize>count) << 2);
  const stride = <usize>width;
  for (let last = out + (stride << 2); out < last; out += 32, table += 8) {
    let a = v128.load(out);
    let b = v128.load(out, 16);
    for (let at = ids; at < end; at += 4) {
      const id = <usize>load<u32>(at);
      const scale = v128.load32_splat(scales + (id << 2));
      const words = v128.load_ext<i8>(table + id * stride);
      a = f32x4.add(a, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words)), scale));
      b = f32x4.add(b, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(words)), scale));
    }
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

/** Columns of a panel: two lines of the cache. Of so many `addProduct` has the sums in registers. */
const PANEL: usize = 32;

/**
 * An int8 table [rows, width] with its scales behind it as float32 at `out`: in panels of PANEL columns, or of those that are left,
 * each row after row.
 */
export function unpack(table: usize, rows: i32, width: i32, out: usize): void {
  const stride = <usize>width;
  const scales = table + <usize>rows * stride;
  for (let column: usize = 0; column < stride; column += PANEL) {
    const columns = min(PANEL, stride - column);
    for (let row: usize = 0; row < <usize>rows; row++) {
      const scale = v128.load32_splat(scales + (row << 2));
      const first = table + row * stride + column;
      for (let at = first; at < first + columns; at += 8, out += 32) {
        const words = v128.load_ext<i8>(at);
        v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words)), scale));
        v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(words)), scale), 16);
      }
    }
  }
}

/** A float32 matrix [depth, width] in such panels at `out`, which must be elsewhere. */
export function divide(matrix: usize, depth: i32, width: i32, out: usize): void {
  const size = (<usize>width) << 2;
  for (let at: usize = 0; at < size; at += PANEL << 2) {
    const bytes = min(PANEL << 2, size - at);
    for (let row = 0, from = matrix + at; row < depth; row++, from += size, out += bytes) memory.copy(out, from, bytes);
  }
}

/**
 * Adds `depth` numbers times a matrix [depth, width] in panels onto `out`. `width` is a multiple of 8. Addresses are sums and no offsets:
 * where every load is compared with the end of memory, as in workerd, loads without an offset share what they are compared with.
 */
export function addProduct(x: usize, matrix: usize, depth: i32, width: i32, out: usize): void {
  const length = x + ((<usize>depth) << 2);
  const end = out + ((<usize>width) << 2);
  let w = matrix;
  for (; out + 128 <= end; out += 128) {
    // So many sums that none waits for its last addition.
    let a = v128.load(out);
    let b = v128.load(out + 16);
    let c = v128.load(out + 32);
    let d = v128.load(out + 48);
    let e = v128.load(out + 64);
    let f = v128.load(out + 80);
    let g = v128.load(out + 96);
    let h = v128.load(out + 112);
    for (let k = x; k < length; k += 4, w += 128) {
      const y = v128.load32_splat(k);
      a = fused(y, v128.load(w), a);
      b = fused(y, v128.load(w + 16), b);
      c = fused(y, v128.load(w + 32), c);
      d = fused(y, v128.load(w + 48), d);
      e = fused(y, v128.load(w + 64), e);
      f = fused(y, v128.load(w + 80), f);
      g = fused(y, v128.load(w + 96), g);
      h = fused(y, v128.load(w + 112), h);
    }
    v128.store(out, a);
    v128.store(out + 16, b);
    v128.store(out + 32, c);
    v128.store(out + 48, d);
    v128.store(out + 64, e);
    v128.store(out + 80, f);
    v128.store(out + 96, g);
    v128.store(out + 112, h);
  }
  const rest = end - out;
  for (; out < end; out += 16, w += 16) {
    let total = v128.load(out);
    for (let k = x, at = w; k < length; k += 4, at += rest) total = fused(v128.load32_splat(k), v128.load(at), total);
    v128.store(out, total);
  }
}
