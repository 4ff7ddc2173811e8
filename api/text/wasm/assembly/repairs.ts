// What puts sums of products right that left int16, in the build that multiplies bytes: see sums.ts. A mark says of 8 rows of a panel up
// to which activation their sums stay within int16: 127, the largest one, nearly everywhere. That rows have larger ones there is rare.
import { dot, first, GROUP, isTurned, OF_BYTES, PART, second } from './sums';

/** Of `count` rows, `size` bytes apart, the largest of every eight numbers, a byte each at `to`; of an odd number of eights one more. */
export function crests(a: usize, size: usize, count: i32, depth: i32, to: usize): void {
  if (!OF_BYTES) return;
  for (const end = a + <usize>depth; a < end; a += PART * 2, to += 2) {
    let most = v128.load(a);
    for (let row = 1, b = a + size; row < count; row++, b += size) most = i8x16.max_u(most, v128.load(b));
    most = i8x16.max_u(most, i64x2.shr_u(most, 32));
    most = i8x16.max_u(most, i64x2.shr_u(most, 16));
    most = i8x16.max_u(most, i64x2.shr_u(most, 8));
    v128.store8_lane(to, most, 0);
    v128.store8_lane(to + 1, most, 8);
  }
}

/**
 * Puts right what left int16: `count` rows, `size` bytes apart, by the panel of so many rows and its marks, whose sums are at `sums`.
 * `most` has the rows' `crests`.
 */
export function repair<Order>(
  a: usize,
  size: usize,
  count: i32,
  panel: usize,
  depth: i32,
  marks: usize,
  most: usize,
  ones: v128,
  sums: usize,
): void {
  if (!OF_BYTES) return;
  const last = marks + (<usize>depth >> 3);
  for (; marks + 16 <= last; marks += 16, most += 16, a += PART * 16, panel += GROUP * 16) {
    let passed = i8x16.bitmask(i8x16.gt_s(v128.load(most), v128.load(marks)));
    for (; passed !== 0; passed &= passed - 1) {
      const which = <usize>ctz(passed);
      repairStep<Order>(a + which * PART, size, count, panel + which * GROUP, ones, sums);
    }
  }
  for (; marks < last; marks++, most++, a += PART, panel += GROUP) {
    if (load<u8>(most) > load<u8>(marks)) repairStep<Order>(a, size, count, panel, ones, sums);
  }
}

/** The same of a round in which a number passes the mark. */
function repairStep<Order>(a: usize, size: usize, count: i32, panel: usize, ones: v128, sums: usize): void {
  if (isLeft<Order>(largestOf(a, size, count), panel)) correct<Order>(a, size, count, panel, ones, sums);
}

function correct<Order>(a: usize, size: usize, count: i32, panel: usize, ones: v128, sums: usize): void {
  const w0 = v128.load(panel);
  const w1 = v128.load(panel, 16);
  const w2 = v128.load(panel, 32);
  const w3 = v128.load(panel, 48);
  for (const end = sums + ((<usize>count) << 5); sums < end; sums += 32, a += size) {
    const y = first<Order>(a);
    const z = second<Order>(a, y);
    v128.store(sums, apart(v128.load(sums), w0, w2, y, z, ones));
    v128.store(sums, apart(v128.load(sums, 16), w1, w3, y, z, ones), 16);
  }
}

/** Of the next eight numbers of each row. */
function largestOf(a: usize, size: usize, count: i32): v128 {
  let most = v128.load64_zero(a);
  for (let row = 1; row < count; row++) {
    a += size;
    most = i8x16.max_u(most, v128.load64_zero(a));
  }
  return most;
}

/** Whether a sum of two products may leave int16 there, of rows with numbers up to those. */
function isLeft<Order>(most: v128, panel: usize): bool {
  const turned = isTurned<Order>();
  const y = turned ? v128.shuffle<i32>(most, most, 0, 1, 0, 1) : v128.shuffle<i32>(most, most, 0, 0, 0, 0);
  const z = turned ? v128.shuffle<i32>(most, most, 1, 0, 1, 0) : v128.shuffle<i32>(most, most, 1, 1, 1, 1);
  const none = i32x4.splat(0);
  const w0 = v128.load(panel);
  const w1 = v128.load(panel, 16);
  const w2 = v128.load(panel, 32);
  const w3 = v128.load(panel, 48);
  const above = v128.or(
    leaves(dot(i8x16.max_s(w0, none), y), dot(i8x16.max_s(w2, none), z)),
    leaves(dot(i8x16.max_s(w1, none), y), dot(i8x16.max_s(w3, none), z)),
  );
  const below = v128.or(
    leaves(dot(i8x16.min_s(w0, none), y), dot(i8x16.min_s(w2, none), z)),
    leaves(dot(i8x16.min_s(w1, none), y), dot(i8x16.min_s(w3, none), z)),
  );
  return v128.any_true(v128.or(above, below));
}

/** Not 0 where int16 does not hold the sum. */
function leaves(x: v128, y: v128): v128 {
  return v128.xor(i16x8.add(x, y), i16x8.add_sat_s(x, y));
}

/** Adds the products of two steps less what `together` adds. */
function apart(sum: v128, w: v128, v: v128, y: v128, z: v128, ones: v128): v128 {
  const one = dot(w, y);
  const other = dot(v, z);
  const right = i32x4.add(i32x4.dot_i16x8_s(one, ones), i32x4.dot_i16x8_s(other, ones));
  return i32x4.add(sum, i32x4.sub(right, i32x4.dot_i16x8_s(i16x8.add(one, other), ones)));
}
