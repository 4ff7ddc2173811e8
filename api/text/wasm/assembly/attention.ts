// Attention of one text, head by head and four queries at a time: of the scores no more than four rows exist at once. Queries,
// keys, values and weights are int16, whose product SIMD128 sums in pairs: half as many instructions as for float32, and
// some 13 bits of each number remain, more than the rows have that are made of them.
import { largest, powers, shares, sum } from './math';
import { narrow, packKeys, packValues, put, range } from './panels';
import { first, second } from './sums';

/** log2 e: softmax is computed in powers of 2. */
const LOG2_E: f32 = 1.44269504;

/** What a score becomes that must not count, and the least factor that leaves it far below the others. */
const NEVER: f32 = -1e30;
const LEAST_FACTOR: f32 = 1e-20;

/** The largest int16: of values, and what the weights of a query sum to, so that their products fit int32. */
const FULL: f32 = 32767;

/**
 * `qkv`: the text's rows, `stride` bytes each: queries, keys and values of `heads` x `size` numbers. Queries from number
 * `first` on, `count` of them, are answered with rows of heads x size numbers at `out`. `causal`: a query sees no later key.
 * `scratch`: keys and values of one head, each size x (tokens, rounded up to 8) int16, four queries as int16, and four rows of
 * scores in float32, each with 4 more. `size` is a multiple of 8.
 */
export function attend(
  qkv: usize,
  stride: usize,
  tokens: i32,
  first: i32,
  count: i32,
  heads: i32,
  size: i32,
  causal: i32,
  out: usize,
  scratch: usize,
): void {
  const rounded = <usize>((tokens + 7) & -8);
  const head = (<usize>size) << 2;
  const width = head * heads;
  const row = (rounded + 4) << 2;
  const panel = rounded << 4;
  const half = (<usize>size) << 1;
  const keys = scratch;
  const values = keys + rounded * half;
  const queries = values + rounded * half;
  const scores = queries + (half << 2);
  // The sum of so many products of two of these fits int32.
  const limit = <f32>floor<f64>(sqrt<f64>(2147483647.0 / <f64>size));
  for (let h = 0; h < heads; h++, qkv += head, out += head) {
    const ofKeys = scaleOf(range(qkv + width, stride, tokens, head), limit);
    const ofValues = scaleOf(range(qkv + width * 2, stride, tokens, head), FULL);
    packKeys(qkv + width, stride, tokens, head, <f32>1 / ofKeys, keys);
    packValues(qkv + width * 2, stride, tokens, head, <f32>1 / ofValues, values);
    const factor = (LOG2_E * ofKeys) / sqrt<f32>(<f32>size);
    for (let i = 0; i < count; i += 4) {
      const rows = min(count - i, 4);
      // Past the last query it is answered again rather than read from beyond.
      const last = first + i + rows - 1;
      const seen = causal ? last + 1 : tokens;
      // Scales of queries stand behind their rows of scores until the weights are there.
      for (let number = 0; number < 4; number++) {
        const query = qkv + <usize>min(first + i + number, last) * stride;
        const scale = scaleOf(range(query, stride, 1, head), limit);
        narrow(query, head, <f32>1 / scale, queries + <usize>number * half);
        store<f32>(scores + <usize>number * row + (rounded << 2), scale);
      }
      products(queries, half, half, keys, half << 3, <usize>((seen + 7) >> 3), scores, row, 4, 0);
      weigh(scores, row, rows, causal ? first + i + 1 : tokens, causal, seen, factor, ofValues);
      const length = (<usize>((seen + 7) & -8)) << 1;
      products(
        scores,
        row,
        length,
        values,
        panel,
        head >> 5,
        out + <usize>i * width,
        width,
        rows,
        scores + (rounded << 2),
      );
    }
  }
}

/** What whole numbers up to `limit` are multiplied with to be numbers up to `most`. */
function scaleOf(most: f32, limit: f32): f32 {
  return most > 0 ? most / limit : 1;
}

/** Sums of pairs of products, added. */
function added(total: v128, x: v128, y: v128, v: v128, z: v128): v128 {
  return i32x4.add(total, i32x4.add(i32x4.dot_i16x8_s(x, y), i32x4.dot_i16x8_s(v, z)));
}

/**
 * Four rows of int16, `pitch` bytes apart and `length` bytes long, by `panels` panels of eight columns, `size` bytes apart: four
 * dimensions of queries and keys in a round, or four keys of weights and values, turned as sums.ts says. Two products are added to each sum at once: loops of
 * more rounds in one the compiler reorders until sums are in memory. Each row's sums become float32 at `out`, `stride` bytes apart.
 * Where there are `scales`, as far apart as rows are, they are multiplied with them, and only the first `count` rows are stored.
 */
function products(
  rows: usize,
  pitch: usize,
  length: usize,
  panel: usize,
  size: usize,
  panels: usize,
  out: usize,
  stride: usize,
  count: i32,
  scales: usize,
): void {
  for (const last = out + (panels << 5); out < last; out += 32, panel += size) {
    let a0 = i32x4.splat(0);
    let a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    let k = panel;
    let a = rows;
    let b = a + pitch;
    let c = b + pitch;
    let d = c + pitch;
    for (const end = rows + length; a < end; a += 8, b += 8, c += 8, d += 8, k += 64) {
      const k0 = v128.load(k);
      const k1 = v128.load(k + 16);
      const k2 = v128.load(k + 32);
      const k3 = v128.load(k + 48);
      let y = first<u16>(a);
      let z = second<u16>(a, y);
      a0 = added(a0, k0, y, k2, z);
      a1 = added(a1, k1, y, k3, z);
      y = first<u16>(b);
      z = second<u16>(b, y);
      b0 = added(b0, k0, y, k2, z);
      b1 = added(b1, k1, y, k3, z);
      y = first<u16>(c);
      z = second<u16>(c, y);
      c0 = added(c0, k0, y, k2, z);
      c1 = added(c1, k1, y, k3, z);
      y = first<u16>(d);
      z = second<u16>(d, y);
      d0 = added(d0, k0, y, k2, z);
      d1 = added(d1, k1, y, k3, z);
    }
    if (!scales) {
      floats(out, a0, a1);
      floats(out + stride, b0, b1);
      floats(out + stride * 2, c0, c1);
      floats(out + stride * 3, d0, d1);
    } else {
      scaled(out, a0, a1, scales);
      if (count > 1) scaled(out + stride, b0, b1, scales + pitch);
      if (count > 2) scaled(out + stride * 2, c0, c1, scales + pitch * 2);
      if (count > 3) scaled(out + stride * 3, d0, d1, scales + pitch * 3);
    }
  }
}

/**
 * 2 to the power of each row of scores times `factor` and the query's scale behind it, as softmax has it, in whole numbers of which FULL is
 * their sum or nearly, as int16 from the row's start on; behind it is `ofValues` by that sum as it is. Of the first row `own` scores
 * count, of each further one one more where it is `causal`, those after them up to `seen` and to the end of the panel do not. Step by step
 * for all rows, which do not wait for each other as the steps of one do.
 */
function weigh(
  scores: usize,
  stride: usize,
  rows: i32,
  own: i32,
  causal: i32,
  seen: i32,
  factor: f32,
  ofValues: f32,
): void {
  const length = (<usize>((seen + 7) & -8)) << 2;
  const last = scores + <usize>rows * stride;
  const behind = stride - 16;
  for (let at = scores; at < last; at += stride, own += causal) {
    const end = at + length;
    for (let hidden = at + ((<usize>own) << 2); hidden < end; hidden += 4) store<f32>(hidden, NEVER);
    // Two at a time, so that none waits for the one before.
    let most = v128.load(at);
    let other = v128.load(at, 16);
    for (let next = at + 32; next < end; next += 32) {
      most = f32x4.pmax(most, v128.load(next));
      other = f32x4.pmax(other, v128.load(next, 16));
    }
    store<f32>(at + behind, largest(f32x4.pmax(most, other)), 4);
  }
  for (let at = scores; at < last; at += stride) {
    const scale = max(factor * load<f32>(at + behind), LEAST_FACTOR);
    const top = f32x4.splat(-load<f32>(at + behind, 4) * scale);
    store<f32>(at + behind, FULL / sum(powers(at, at + length, f32x4.splat(scale), top)), 4);
  }
  for (let at = scores; at < last; at += stride) {
    const whole = shares(at, at + length, f32x4.splat(load<f32>(at + behind, 4)));
    store<f32>(at + behind, ofValues / sum(f32x4.convert_i32x4_s(whole)));
  }
}

/** Eight whole numbers as float32. */
function floats(at: usize, first: v128, second: v128): void {
  put(at, f32x4.convert_i32x4_s(first), f32x4.convert_i32x4_s(second));
}

function scaled(at: usize, first: v128, second: v128, scale: usize): void {
  const factor = v128.load32_splat(scale);
  put(at, f32x4.mul(f32x4.convert_i32x4_s(first), factor), f32x4.mul(f32x4.convert_i32x4_s(second), factor));
}
