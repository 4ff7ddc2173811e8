// Attention of one text, head by head and four queries at a time: of the scores no more than four rows exist at once.
import { exp2, fused, largest, sum } from './math';
import { packKeys, packValues, put } from './panels';

/** log2 e: softmax is computed in powers of 2. */
const LOG2_E: f32 = 1.44269504;

/** What a score becomes that must not count. */
const NEVER: f32 = -1e30;

/**
 * `qkv`: the text's rows, `stride` bytes each: queries, keys and values of `heads` x `size` numbers. Queries from number
 * `first` on, `count` of them, are answered with rows of heads x size numbers at `out`. `causal`: a query sees no later key.
 * `scratch`: keys and values of one head, each size x (tokens, rounded up to 8) numbers, and four rows of scores, each with 4 more. `size` is
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
  const row = (rounded + 4) << 2;
  const panel = (<usize>((tokens + 3) & -4)) << 5;
  const keys = scratch;
  const values = keys + rounded * head;
  const scores = values + rounded * head;
  const factor = LOG2_E / sqrt<f32>(<f32>size);
  for (let h = 0; h < heads; h++, qkv += head, out += head) {
    packKeys(qkv + width, stride, tokens, head, keys);
    packValues(qkv + width * 2, stride, tokens, head, values);
    for (let i = 0; i < count; i += 4) {
      const rows = min(count - i, 4);
      // Past the last query it is answered again rather than read from beyond.
      const last = first + i + rows - 1;
      const seen = causal ? last + 1 : tokens;
      score(qkv + <usize>(first + i) * stride, stride, rows, head, keys, seen, scores, row);
      for (let number = 0; number < rows; number++) {
        const own = causal ? first + i + number + 1 : tokens;
        weigh(scores + <usize>number * row, own, seen, factor);
      }
      collect(scores, row, rows, seen, values, panel, head, out + <usize>i * width, width);
    }
  }
}

/** Products of four queries with all keys, eight keys at a time in registers and four dimensions in a round. */
function score(
  query: usize,
  stride: usize,
  rows: i32,
  head: usize,
  keys: usize,
  seen: i32,
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
    let a = query;
    let b = query + second;
    let c = query + third;
    let d = query + fourth;
    for (const end = keys + (head << 3); keys < end; keys += 128, a += 16, b += 16, c += 16, d += 16) {
      let k0 = v128.load(keys, 0);
      let k1 = v128.load(keys, 16);
      let y = v128.load32_splat(a, 0);
      a0 = fused(y, k0, a0);
      a1 = fused(y, k1, a1);
      y = v128.load32_splat(b, 0);
      b0 = fused(y, k0, b0);
      b1 = fused(y, k1, b1);
      y = v128.load32_splat(c, 0);
      c0 = fused(y, k0, c0);
      c1 = fused(y, k1, c1);
      y = v128.load32_splat(d, 0);
      d0 = fused(y, k0, d0);
      d1 = fused(y, k1, d1);
      k0 = v128.load(keys, 32);
      k1 = v128.load(keys, 48);
      y = v128.load32_splat(a, 4);
      a0 = fused(y, k0, a0);
      a1 = fused(y, k1, a1);
      y = v128.load32_splat(b, 4);
      b0 = fused(y, k0, b0);
      b1 = fused(y, k1, b1);
      y = v128.load32_splat(c, 4);
      c0 = fused(y, k0, c0);
      c1 = fused(y, k1, c1);
      y = v128.load32_splat(d, 4);
      d0 = fused(y, k0, d0);
      d1 = fused(y, k1, d1);
      k0 = v128.load(keys, 64);
      k1 = v128.load(keys, 80);
      y = v128.load32_splat(a, 8);
      a0 = fused(y, k0, a0);
      a1 = fused(y, k1, a1);
      y = v128.load32_splat(b, 8);
      b0 = fused(y, k0, b0);
      b1 = fused(y, k1, b1);
      y = v128.load32_splat(c, 8);
      c0 = fused(y, k0, c0);
      c1 = fused(y, k1, c1);
      y = v128.load32_splat(d, 8);
      d0 = fused(y, k0, d0);
      d1 = fused(y, k1, d1);
      k0 = v128.load(keys, 96);
      k1 = v128.load(keys, 112);
      y = v128.load32_splat(a, 12);
      a0 = fused(y, k0, a0);
      a1 = fused(y, k1, a1);
      y = v128.load32_splat(b, 12);
      b0 = fused(y, k0, b0);
      b1 = fused(y, k1, b1);
      y = v128.load32_splat(c, 12);
      c0 = fused(y, k0, c0);
      c1 = fused(y, k1, c1);
      y = v128.load32_splat(d, 12);
      d0 = fused(y, k0, d0);
      d1 = fused(y, k1, d1);
    }
    put(scores, a0, a1);
    put(scores + row, b0, b1);
    put(scores + row * 2, c0, c1);
    put(scores + row * 3, d0, d1);
  }
}

/**
 * 2 to the power of one row times `factor`, as softmax has it, but not divided by its sum: the inverse of that comes behind
 * the row. `own` scores count, those after them up to `seen` and to the end of the panel do not.
 */
function weigh(scores: usize, own: i32, seen: i32, factor: f32): void {
  const end = scores + ((<usize>((seen + 7) & -8)) << 2);
  for (let at = scores + ((<usize>own) << 2); at < end; at += 4) store<f32>(at, NEVER);
  let most = v128.load(scores);
  for (let at = scores + 16; at < end; at += 16) most = f32x4.pmax(most, v128.load(at));
  const scale = f32x4.splat(factor);
  const top = f32x4.splat(-largest(most) * factor);
  let total = f32x4.splat(0);
  for (let at = scores; at < end; at += 16) {
    const y = exp2(fused(v128.load(at), scale, top));
    total = f32x4.add(total, y);
    v128.store(at, y);
  }
  store<f32>(end, <f32>1 / sum(total));
}

/** Values by the weights of four queries, eight dimensions at a time in registers and four keys in a round. */
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
): void {
  const second = <usize>min(rows - 1, 1) * row;
  const third = <usize>min(rows - 1, 2) * row;
  const fourth = <usize>min(rows - 1, 3) * row;
  // Past the last key there are weights of almost nothing, and zeros.
  const end = scores + ((<usize>((seen + 3) & -4)) << 2);
  const inverse = scores + ((<usize>((seen + 7) & -8)) << 2);
  for (let at: usize = 0; at < head; at += 32, values += panel) {
    let a0 = f32x4.splat(0);
    let a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    let a = scores;
    let b = scores + second;
    let c = scores + third;
    let d = scores + fourth;
    let v = values;
    for (; a < end; a += 16, b += 16, c += 16, d += 16, v += 128) {
      let v0 = v128.load(v, 0);
      let v1 = v128.load(v, 16);
      let y = v128.load32_splat(a, 0);
      a0 = fused(y, v0, a0);
      a1 = fused(y, v1, a1);
      y = v128.load32_splat(b, 0);
      b0 = fused(y, v0, b0);
      b1 = fused(y, v1, b1);
      y = v128.load32_splat(c, 0);
      c0 = fused(y, v0, c0);
      c1 = fused(y, v1, c1);
      y = v128.load32_splat(d, 0);
      d0 = fused(y, v0, d0);
      d1 = fused(y, v1, d1);
      v0 = v128.load(v, 32);
      v1 = v128.load(v, 48);
      y = v128.load32_splat(a, 4);
      a0 = fused(y, v0, a0);
      a1 = fused(y, v1, a1);
      y = v128.load32_splat(b, 4);
      b0 = fused(y, v0, b0);
      b1 = fused(y, v1, b1);
      y = v128.load32_splat(c, 4);
      c0 = fused(y, v0, c0);
      c1 = fused(y, v1, c1);
      y = v128.load32_splat(d, 4);
      d0 = fused(y, v0, d0);
      d1 = fused(y, v1, d1);
      v0 = v128.load(v, 64);
      v1 = v128.load(v, 80);
      y = v128.load32_splat(a, 8);
      a0 = fused(y, v0, a0);
      a1 = fused(y, v1, a1);
      y = v128.load32_splat(b, 8);
      b0 = fused(y, v0, b0);
      b1 = fused(y, v1, b1);
      y = v128.load32_splat(c, 8);
      c0 = fused(y, v0, c0);
      c1 = fused(y, v1, c1);
      y = v128.load32_splat(d, 8);
      d0 = fused(y, v0, d0);
      d1 = fused(y, v1, d1);
      v0 = v128.load(v, 96);
      v1 = v128.load(v, 112);
      y = v128.load32_splat(a, 12);
      a0 = fused(y, v0, a0);
      a1 = fused(y, v1, a1);
      y = v128.load32_splat(b, 12);
      b0 = fused(y, v0, b0);
      b1 = fused(y, v1, b1);
      y = v128.load32_splat(c, 12);
      c0 = fused(y, v0, c0);
      c1 = fused(y, v1, c1);
      y = v128.load32_splat(d, 12);
      d0 = fused(y, v0, d0);
      d1 = fused(y, v1, d1);
    }
    const to = out + at;
    scaled(to, a0, a1, inverse);
    if (rows > 1) scaled(to + stride, b0, b1, inverse + second);
    if (rows > 2) scaled(to + stride * 2, c0, c1, inverse + third);
    if (rows > 3) scaled(to + stride * 3, d0, d1, inverse + fourth);
  }
}

function scaled(at: usize, first: v128, second: v128, inverse: usize): void {
  const factor = v128.load32_splat(inverse);
  put(at, f32x4.mul(first, factor), f32x4.mul(second, factor));
}
