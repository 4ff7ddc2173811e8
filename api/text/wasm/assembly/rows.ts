// What is done to rows of float32 numbers: layer normalisation, quantisation, mean, product. Widths are multiples of 8.
import { fused, largest, sum, whole } from './math';

/** Layer normalisation of each row in place: (x - mean) / sqrt(variance + epsilon) * gain + bias. */
export function normalize(x: usize, rows: i32, width: i32, gain: usize, bias: usize, epsilon: f32): void {
  const size = (<usize>width) << 2;
  for (let row = 0; row < rows; row++, x += size) {
    let total = f32x4.splat(0);
    for (let at: usize = 0; at < size; at += 16) total = f32x4.add(total, v128.load(x + at));
    const mean = f32x4.splat(sum(total) / <f32>width);
    let squares = f32x4.splat(0);
    for (let at: usize = 0; at < size; at += 16) {
      const d = f32x4.sub(v128.load(x + at), mean);
      squares = f32x4.add(squares, f32x4.mul(d, d));
    }
    const factor = f32x4.splat(<f32>1 / sqrt<f32>(sum(squares) / <f32>width + epsilon));
    for (let at: usize = 0; at < size; at += 16) {
      const y = f32x4.mul(f32x4.sub(v128.load(x + at), mean), factor);
      v128.store(x + at, f32x4.add(f32x4.mul(y, v128.load(gain + at)), v128.load(bias + at)));
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
    for (let at: usize = 16; at < size; at += 16) {
      const y = v128.load(x + at);
      least = f32x4.pmin(least, y);
      most = f32x4.pmax(most, y);
    }
    const bottom = -largest(f32x4.neg(least));
    const top = largest(most);
    if (ASC_FEATURE_RELAXED_SIMD) {
      const range = top - bottom;
      const scale: f32 = range > 0 ? range / 127 : 1;
      store<f32>(info, scale);
      store<f32>(info, bottom, 4);
      const low = f32x4.splat(bottom);
      const factor = f32x4.splat(<f32>1 / scale);
      // Rounding may give 128 for the largest number; the narrowing to a signed byte below makes it 127.
      for (let at: usize = 0; at < size; at += 32, q += 8) {
        const first = whole(f32x4.mul(f32x4.sub(v128.load(x + at), low), factor));
        const second = whole(f32x4.mul(f32x4.sub(v128.load(x + at, 16), low), factor));
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
        const first = whole(f32x4.mul(v128.load(x + at), factor));
        const second = whole(f32x4.mul(v128.load(x + at, 16), factor));
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

/**
 * An int8 table [rows, width] with its scales behind it as float32 at `out`: in panels of `panel` columns, or of those that are left,
 * each row after row.
 */
export function unpack(table: usize, rows: i32, width: i32, panel: i32, out: usize): void {
  const stride = <usize>width;
  const scales = table + <usize>rows * stride;
  for (let left = width; left > 0; left -= panel, table += <usize>panel) {
    const columns = <usize>min(panel, left);
    for (let row: usize = 0; row < <usize>rows; row++) {
      const scale = v128.load32_splat(scales + (row << 2));
      const first = table + row * stride;
      for (let at = first; at < first + columns; at += 8, out += 32) {
        const words = v128.load_ext<i8>(at);
        v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words)), scale));
        v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(words)), scale), 16);
      }
    }
  }
}

/** Adds rows of `depth` numbers times a float32 matrix [depth, width] onto `out`. `width` is a multiple of 8. */
export function addProduct(x: usize, rows: i32, matrix: usize, depth: i32, width: i32, out: usize): void {
  const size = (<usize>width) << 2;
  const length = (<usize>depth) << 2;
  for (let row = 0; row < rows; row++, x += length, out += size) {
    // Two lines of the cache, 32 numbers, as long as there are any: so many sums that none waits for its last addition.
    let at: usize = 0;
    for (; at + 128 <= size; at += 128) {
      let a = v128.load(out + at);
      let b = v128.load(out + at, 16);
      let c = v128.load(out + at, 32);
      let d = v128.load(out + at, 48);
      let e = v128.load(out + at, 64);
      let f = v128.load(out + at, 80);
      let g = v128.load(out + at, 96);
      let h = v128.load(out + at, 112);
      for (let k: usize = 0, w = matrix + at; k < length; k += 4, w += size) {
        const y = v128.load32_splat(x + k);
        a = fused(y, v128.load(w), a);
        b = fused(y, v128.load(w, 16), b);
        c = fused(y, v128.load(w, 32), c);
        d = fused(y, v128.load(w, 48), d);
        e = fused(y, v128.load(w, 64), e);
        f = fused(y, v128.load(w, 80), f);
        g = fused(y, v128.load(w, 96), g);
        h = fused(y, v128.load(w, 112), h);
      }
      v128.store(out + at, a);
      v128.store(out + at, b, 16);
      v128.store(out + at, c, 32);
      v128.store(out + at, d, 48);
      v128.store(out + at, e, 64);
      v128.store(out + at, f, 80);
      v128.store(out + at, g, 96);
      v128.store(out + at, h, 112);
    }
    for (; at < size; at += 16) {
      let total = v128.load(out + at);
      for (let k: usize = 0, w = matrix + at; k < length; k += 4, w += size) {
        total = fused(v128.load32_splat(x + k), v128.load(w), total);
      }
      v128.store(out + at, total);
    }
  }
}
