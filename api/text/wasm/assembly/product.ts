// Products of rows with the int8 matrices of layers, which lie in panels: see packing.ts.
import { sumDots } from './dots';
import { fused, gelus, geluTanh, quickGelu } from './math';
import { crests, repair } from './repairs';
import { isAccumulating, SUM, sumFour, sumThree, sumTwo } from './sums';

/** What happens to a product before it is stored: nothing, one of three GELUs, or the number that is there is added. */
const STORE: i32 = 0;
const GELU: i32 = 1;
const QUICK_GELU: i32 = 2;
const ADD: i32 = 3;

/**
 * Rows whose sums with a panel are made before they become numbers, so that scales are loaded once for them all. They pass by all
 * panels before the next ones do: so few stay in the nearest cache, and the matrix in the second.
 */
const BLOCK: i32 = 12;
const BLOCK_OF_DOTS: i32 = 18;
/** Where the sums of a block are. */
const SUMS = memory.data(<i32>SUM * (BLOCK_OF_DOTS + 1), 16);

/** Rows of `quantize` times a packed matrix. In the relaxed build an eighth of a row's bytes, and one more, is written behind the last one. */
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
  product<u8>(q, info, rows, panels, depth, width, out, stride, finish);
}

/** The same of a matrix whose steps are turned. */
export function multiplyTurned(
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
  product<u16>(q, info, rows, panels, depth, width, out, stride, finish);
}

/** As `multiply`, by products that accumulate, for processors that have them: see `probe`. The build without relaxed SIMD has none. */
export function multiplyAccumulating(
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
  if (ASC_FEATURE_RELAXED_SIMD) product<u32>(q, info, rows, panels, depth, width, out, stride, finish);
}

function product<Order>(
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
  const panel = (<usize>depth) << 3;
  const columns = (<usize>width) << 2;
  // Not a constant to the compilers, which would make it anew for each product: that takes a third of the speed.
  const ones = i16x8.splat(<i16>min(rows, 1));
  const most = q + <usize>rows * size;
  for (let row = 0, count = 0; row < rows; row += count) {
    if (isAccumulating<Order>()) count = blockOf(rows - row, BLOCK_OF_DOTS);
    else count = row === 0 ? firstBlockOf(rows) : blockOf(rows - row, BLOCK);
    const from = q + <usize>row * size;
    const facts = info + ((<usize>row) << 3);
    if (!isAccumulating<Order>()) crests(from, size, count, depth, most);
    let matrix = panels;
    let scales = panels + <usize>depth * <usize>width;
    let marks = scales + columns * 3;
    let target = out + <usize>row * stride;
    for (let column = 0; column < width; column += 8, matrix += panel, scales += 32, target += 32) {
      if (isAccumulating<Order>()) sumDots(from, size, count, matrix, panel, SUMS);
      else {
        sumPairs<Order>(from, size, count, matrix, panel, ones);
        repair<Order>(from, size, count, matrix, depth, marks, most, ones, SUMS);
      }
      if (finish === STORE || finish === ADD) settle(facts, count, scales, columns, target, stride, finish);
      else {
        settle(facts, count, scales, columns, SUMS, SUM, STORE);
        activate(SUMS + <usize>count * SUM, finish);
        spread(count, target, stride);
      }
      marks += <usize>depth >> 3;
    }
  }
}

/**
 * Of so many rows those of the first block: no more than go past a panel together. Its matrix comes from far, and is fetched ahead only while it is
 * read: rows that pass the same panel again would let the memory rest. Blocks after it find the matrix in the second cache.
 */
function firstBlockOf(rows: i32): i32 {
  return rows === 5 ? 3 : min(rows, 4);
}

/** Of so many rows those of the next block: one that would be left over goes with those before it. */
function blockOf(left: i32, most: i32): i32 {
  return left === most + 1 ? left : min(left, most);
}

/**
 * The sums of `count` rows with a panel: one row alone would take what two do, and of five three and two are taken. Four rows are called for in two places,
 * so that the compiler leaves them a function of their own, whose loop has the registers to itself.
 */
function sumPairs<Order>(a: usize, size: usize, count: i32, panel: usize, length: usize, ones: v128): void {
  let sums = SUMS;
  let left = count;
  for (; left > 5; left -= 4, a += size * 4, sums += SUM * 4) {
    sumFour<Order>(a, size, panel, length, ones, sums);
  }
  if (left === 4) {
    sumFour<Order>(a, size, panel, length, ones, sums);
    return;
  }
  if (left > 2) {
    sumThree<Order>(a, size, panel, length, ones, sums);
    left -= 3;
    a += size * 3;
    sums += SUM * 3;
  }
  if (left > 0) sumTwo<Order>(a, left > 1 ? size : 0, panel, length, ones, sums);
}

/** Sums become numbers: Σ x w = scale_row scale_column Σ q w + low_row sum_column + bias. */
function settle(info: usize, count: i32, scales: usize, columns: usize, to: usize, stride: usize, finish: i32): void {
  const s0 = v128.load(scales);
  const s1 = v128.load(scales, 16);
  const t0 = v128.load(scales + columns);
  const t1 = v128.load(scales + columns, 16);
  const b0 = v128.load(scales + columns * 2);
  const b1 = v128.load(scales + columns * 2, 16);
  const end = SUMS + <usize>count * SUM;
  for (let from = SUMS; from < end; from += SUM, info += 8, to += stride) {
    const scale = v128.load32_splat(info);
    const low = v128.load32_splat(info, 4);
    let x = fused(f32x4.convert_i32x4_s(v128.load(from)), f32x4.mul(scale, s0), fused(low, t0, b0));
    let y = fused(f32x4.convert_i32x4_s(v128.load(from, 16)), f32x4.mul(scale, s1), fused(low, t1, b1));
    if (finish === ADD) {
      x = f32x4.add(x, v128.load(to));
      y = f32x4.add(y, v128.load(to, 16));
    }
    v128.store(to, x);
    v128.store(to, y, 16);
  }
}

/** The numbers in the place of the sums, up to `end`. */
function activate(end: usize, finish: i32): void {
  if (finish === GELU) gelus(SUMS, end);
  else if (finish === QUICK_GELU) for (let at = SUMS; at < end; at += 16) v128.store(at, quickGelu(v128.load(at)));
  else for (let at = SUMS; at < end; at += 16) v128.store(at, geluTanh(v128.load(at)));
}

/** From there to rows that are `stride` bytes apart. */
function spread(count: i32, to: usize, stride: usize): void {
  const end = SUMS + <usize>count * SUM;
  for (let from = SUMS; from < end; from += SUM, to += stride) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  }
}
