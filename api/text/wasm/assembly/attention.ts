// Attention of one text, head by head and four queries at a time: of the scores no more than four rows exist at once.
import { exp, fused, largest, sum } from './math';

/** What a score becomes that must not count. */
const NEVER: f32 = -1e30;

/**
 * `qkv`: the text's rows, `stride` bytes each: queries, keys and values of `heads` x `size` numbers. Queries from number
 * `first` on, `count` of them, are answered with rows of heads x size numbers at `out`. `causal`: a query sees no later key.
 * `scratch`: keys and values of one head, each size x (tokens, rounded up to 8) numbers, and four rows of scores. `size` is
 * a multiple of 8.
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
  const keys = scratch;
  const values = keys + rounded * head;
  const scores = values + rounded * head;
  const factor = f32x4.splat(<f32>1 / sqrt<f32>(<f32>size));
  for (let h = 0; h < heads; h++, qkv += head, out += head) {
    packKeys(qkv + width, stride, tokens, head, keys);
    copyRows(qkv + width * 2, stride, tokens, head, values);
    for (let i = 0; i < count; i += 4) {
      const rows = min(count - i, 4);
      // Past the last query it is answered again rather than read from beyond.
      const last = first + i + rows - 1;
      const seen = causal ? last + 1 : tokens;
      score(qkv + <usize>(first + i) * stride, stride, rows, head, keys, seen, factor, scores, rounded << 2);
      for (let row = 0; row < rows; row++) {
        const own = causal ? first + i + row + 1 : tokens;
        weigh(scores + ((<usize>row * rounded) << 2), own, seen);
      }
      collect(scores, rounded << 2, rows, seen, values, head, out + <usize>i * width, width);
    }
  }
}

/** Keys of one head in panels of eight: for each dimension, that number of the eight keys. */
function packKeys(from: usize, stride: usize, tokens: i32, head: usize, to: usize): void {
  for (let token = 0; token < tokens; token++, from += stride) {
    let at = to + <usize>(token >> 3) * (head << 3) + ((<usize>(token & 7)) << 2);
    for (let d: usize = 0; d < head; d += 4, at += 32) store<f32>(at, load<f32>(from + d));
  }
}

function copyRows(from: usize, stride: usize, rows: i32, size: usize, to: usize): void {
  for (let row = 0; row < rows; row++, from += stride, to += size) {
    for (let at: usize = 0; at < size; at += 16) v128.store(to + at, v128.load(from + at));
  }
}

/** Scores of four queries with all keys, eight keys at a time in registers. */
function score(
  query: usize,
  stride: usize,
  rows: i32,
  head: usize,
  keys: usize,
  seen: i32,
  factor: v128,
  scores: usize,
  row: usize,
): void {
  const second = <usize>min(rows - 1, 1) * stride;
  const third = <usize>min(rows - 1, 2) * stride;
  const fourth = <usize>min(rows - 1, 3) * stride;
  for (let j = 0; j < seen; j += 8, scores += 32) {
    let a0 = f32x4.splat(0);
    let a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    for (let q = query, end = query + head; q < end; q += 4, keys += 32) {
      const k0 = v128.load(keys);
      const k1 = v128.load(keys, 16);
      let y = v128.load32_splat(q);
      a0 = fused(y, k0, a0);
      a1 = fused(y, k1, a1);
      y = v128.load32_splat(q + second);
      b0 = fused(y, k0, b0);
      b1 = fused(y, k1, b1);
      y = v128.load32_splat(q + third);
      c0 = fused(y, k0, c0);
      c1 = fused(y, k1, c1);
      y = v128.load32_splat(q + fourth);
      d0 = fused(y, k0, d0);
      d1 = fused(y, k1, d1);
    }
    put(scores, f32x4.mul(a0, factor), f32x4.mul(a1, factor));
    put(scores + row, f32x4.mul(b0, factor), f32x4.mul(b1, factor));
    put(scores + row * 2, f32x4.mul(c0, factor), f32x4.mul(c1, factor));
    put(scores + row * 3, f32x4.mul(d0, factor), f32x4.mul(d1, factor));
  }
}

function put(at: usize, first: v128, second: v128): void {
  v128.store(at, first);
  v128.store(at, second, 16);
}

/** Softmax of one row in place: `own` scores count, those after them up to `seen` and to the end of the panel do not. */
function weigh(scores: usize, own: i32, seen: i32): void {
  const end = scores + ((<usize>((seen + 7) & -8)) << 2);
  for (let at = scores + ((<usize>own) << 2); at < end; at += 4) store<f32>(at, NEVER);
  let most = v128.load(scores);
  for (let at = scores + 16; at < end; at += 16) most = f32x4.pmax(most, v128.load(at));
  const top = f32x4.splat(largest(most));
  let total = f32x4.splat(0);
  for (let at = scores; at < end; at += 16) {
    const y = exp(f32x4.sub(v128.load(at), top));
    total = f32x4.add(total, y);
    v128.store(at, y);
  }
  const factor = f32x4.splat(<f32>1 / sum(total));
  for (let at = scores; at < end; at += 16) v128.store(at, f32x4.mul(v128.load(at), factor));
}

/** Values by the weights of four queries, eight dimensions at a time in registers. */
function collect(
  scores: usize,
  row: usize,
  rows: i32,
  seen: i32,
  values: usize,
  head: usize,
  out: usize,
  stride: usize,
): void {
  const second = <usize>min(rows - 1, 1) * row;
  const third = <usize>min(rows - 1, 2) * row;
  const fourth = <usize>min(rows - 1, 3) * row;
  const end = scores + ((<usize>seen) << 2);
  for (let d: usize = 0; d < head; d += 32) {
    let a0 = f32x4.splat(0);
    let a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    for (let p = scores, v = values + d; p < end; p += 4, v += head) {
      const v0 = v128.load(v);
      const v1 = v128.load(v, 16);
      let y = v128.load32_splat(p);
      a0 = fused(y, v0, a0);
      a1 = fused(y, v1, a1);
      y = v128.load32_splat(p + second);
      b0 = fused(y, v0, b0);
      b1 = fused(y, v1, b1);
      y = v128.load32_splat(p + third);
      c0 = fused(y, v0, c0);
      c1 = fused(y, v1, c1);
      y = v128.load32_splat(p + fourth);
      d0 = fused(y, v0, d0);
      d1 = fused(y, v1, d1);
    }
    const to = out + d;
    put(to, a0, a1);
    if (rows > 1) put(to + stride, b0, b1);
    if (rows > 2) put(to + stride * 2, c0, c1);
    if (rows > 3) put(to + stride * 3, d0, d1);
  }
}
