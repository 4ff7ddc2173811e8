// Attention of one text, head by head and four queries at a time: of the scores no more than four rows exist at once. Queries,
// keys, values and weights are int16, whose product SIMD128 sums in pairs: half as many instructions as for float32, and
// some 13 bits of each number remain, more than the rows have that are made of them.
import { largest, powers, shares, sum } from './math';
import { narrow, packKeys, packValues, put, range } from './panels';

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
      score(queries, half, keys, seen, scores, row);
      for (let number = 0; number < rows; number++) {
        const own = causal ? first + i + number + 1 : tokens;
        const at = scores + <usize>number * row;
        const behind = at + (rounded << 2);
        const sum = weigh(at, own, seen, max(factor * load<f32>(behind), LEAST_FACTOR));
        store<f32>(behind, ofValues / sum);
      }
      collect(scores, row, rows, seen, values, panel, head, out + <usize>i * width, width, rounded << 2);
    }
  }
}

/** What whole numbers up to `limit` are multiplied with to be numbers up to `most`. */
function scaleOf(most: f32, limit: f32): f32 {
  return most > 0 ? most / limit : 1;
}

/** Sums of pairs of products, added. */
function added(total: v128, x: v128, y: v128): v128 {
  return i32x4.add(total, i32x4.dot_i16x8_s(x, y));
}

/**
 * Four rows of int16, `pitch` bytes apart and `length` bytes long, by a panel of eight columns: eight dimensions of queries and
 * keys in a round, or eight keys of weights and values. Each row's eight sums become float32 at `out`, `stride` bytes apart. Where
 * there are `scales`, as far apart as rows are, they are multiplied with them, and only the first `count` rows are stored.
 */
function products(
  rows: usize,
  pitch: usize,
  length: usize,
  panel: usize,
  out: usize,
  stride: usize,
  count: i32,
  scales: usize,
): void {
  let a0 = i32x4.splat(0);
  let a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0,
    d0 = a0,
    d1 = a0;
  let a = rows;
  let b = a + pitch;
  let c = b + pitch;
  let d = c + pitch;
  for (const end = rows + length; a < end; a += 16, b += 16, c += 16, d += 16, panel += 128) {
    let k0 = v128.load(panel, 0);
    let k1 = v128.load(panel, 16);
    let y = v128.load32_splat(a, 0);
    a0 = added(a0, k0, y);
    a1 = added(a1, k1, y);
    y = v128.load32_splat(b, 0);
    b0 = added(b0, k0, y);
    b1 = added(b1, k1, y);
    y = v128.load32_splat(c, 0);
    c0 = added(c0, k0, y);
    c1 = added(c1, k1, y);
    y = v128.load32_splat(d, 0);
    d0 = added(d0, k0, y);
    d1 = added(d1, k1, y);
    k0 = v128.load(panel, 32);
    k1 = v128.load(panel, 48);
    y = v128.load32_splat(a, 4);
    a0 = added(a0, k0, y);
    a1 = added(a1, k1, y);
    y = v128.load32_splat(b, 4);
    b0 = added(b0, k0, y);
    b1 = added(b1, k1, y);
    y = v128.load32_splat(c, 4);
    c0 = added(c0, k0, y);
    c1 = added(c1, k1, y);
    y = v128.load32_splat(d, 4);
    d0 = added(d0, k0, y);
    d1 = added(d1, k1, y);
    k0 = v128.load(panel, 64);
    k1 = v128.load(panel, 80);
    y = v128.load32_splat(a, 8);
    a0 = added(a0, k0, y);
    a1 = added(a1, k1, y);
    y = v128.load32_splat(b, 8);
    b0 = added(b0, k0, y);
    b1 = added(b1, k1, y);
    y = v128.load32_splat(c, 8);
    c0 = added(c0, k0, y);
    c1 = added(c1, k1, y);
    y = v128.load32_splat(d, 8);
    d0 = added(d0, k0, y);
    d1 = added(d1, k1, y);
    k0 = v128.load(panel, 96);
    k1 = v128.load(panel, 112);
    y = v128.load32_splat(a, 12);
    a0 = added(a0, k0, y);
    a1 = added(a1, k1, y);
    y = v128.load32_splat(b, 12);
    b0 = added(b0, k0, y);
    b1 = added(b1, k1, y);
    y = v128.load32_splat(c, 12);
    c0 = added(c0, k0, y);
    c1 = added(c1, k1, y);
    y = v128.load32_splat(d, 12);
    d0 = added(d0, k0, y);
    d1 = added(d1, k1, y);
  }
  if (!scales) {
    floats(out, a0, a1);
    floats(out + stride, b0, b1);
    floats(out + stride * 2, c0, c1);
    floats(out + stride * 3, d0, d1);
    return;
  }
  scaled(out, a0, a1, scales);
  if (count > 1) scaled(out + stride, b0, b1, scales + pitch);
  if (count > 2) scaled(out + stride * 2, c0, c1, scales + pitch * 2);
  if (count > 3) scaled(out + stride * 3, d0, d1, scales + pitch * 3);
}

/** Products of four queries with all keys, eight keys at a time. */
function score(queries: usize, half: usize, keys: usize, seen: i32, scores: usize, row: usize): void {
  for (let j = 0; j < seen; j += 8, scores += 32, keys += half << 3) {
    products(queries, half, half, keys, scores, row, 4, 0);
  }
}

/**
 * 2 to the power of one row times `factor`, as softmax has it, in whole numbers of which FULL is their sum or nearly, as int16
 * from the row's start on. Returns that sum as it is. `own` scores count, those after them up to `seen` and to the end of the
 * panel do not.
 */
function weigh(scores: usize, own: i32, seen: i32, factor: f32): f32 {
  const end = scores + ((<usize>((seen + 7) & -8)) << 2);
  for (let at = scores + ((<usize>own) << 2); at < end; at += 4) store<f32>(at, NEVER);
  // Two at a time, so that none waits for the one before.
  let most = v128.load(scores);
  let other = v128.load(scores, 16);
  for (let at = scores + 32; at < end; at += 32) {
    most = f32x4.pmax(most, v128.load(at));
    other = f32x4.pmax(other, v128.load(at, 16));
  }
  const top = f32x4.splat(-largest(f32x4.pmax(most, other)) * factor);
  const total = sum(powers(scores, end, f32x4.splat(factor), top));
  return sum(f32x4.convert_i32x4_s(shares(scores, end, f32x4.splat(FULL / total))));
}

/** Values by the weights of four queries, eight dimensions at a time. */
function collect(
  scores: usize,
  row: usize,
  rows: i32,
  seen: i32,
  values: usize,
  panel: usize,
  head: usize,
  out: usize,
  stride: usize,
  behind: usize,
): void {
  const length = (<usize>((seen + 7) & -8)) << 1;
  // Where there are fewer queries, rows of other times are weighed and not stored.
  for (let at: usize = 0; at < head; at += 32, values += panel) {
    products(scores, row, length, values, out + at, stride, rows, scores + behind);
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
