// Sums of products of rows with a panel of 8 columns, in whole numbers.
//
// Plain SIMD128 has one product of whole numbers: int16 by int16, neighbours summed to int32. Weights are widened as they
// are loaded. Relaxed SIMD has one of bytes, int8 by 0..127 with neighbours summed to int16, which holds 2 x 127 x 128; it
// does twice as many products at once. Which of both this is decides `asc --enable relaxed-simd`.
//
// Widening to int32 is half of the work beside such products, so that it is done for the sum of two of them, 4 weights to
// a number: int16 holds that, whatever the activations are, where the positive weights and the negative ones of the four sum to
// no more than 258 each, as nearly all do. `pack` marks the others, a byte for 8 rows of a panel: up to which activation their sums
// stay within int16. The loop does not ask for the marks: a branch that is taken once in forty rounds is foretold wrongly, and waits
// longer than a round takes. `repair` looks afterwards at what is marked, and whether these rows have larger numbers there, which is rare.

/** Whether products are those of bytes. */
const OF_BYTES: bool = ASC_FEATURE_RELAXED_SIMD;

/** Bytes that a round takes of a panel, two steps, and of a row. A step is what the product of 4 lanes takes at once: 4 weights of a column, or 2. */
const GROUP: usize = OF_BYTES ? 64 : 32;
const PART: usize = 8;

/** Four rows, `size` bytes apart, by a panel of `length` bytes: 8 sums of each at `to`. More would not be in registers. */
export function sumFour(a: usize, size: usize, panel: usize, length: usize, ones: v128, to: usize): void {
  let b = a + size;
  let c = b + size;
  let d = c + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0,
    d0 = a0,
    d1 = a0;
  for (const end = panel + length; panel < end; panel += GROUP, a += PART, b += PART, c += PART, d += PART) {
    const w0 = OF_BYTES ? v128.load(panel) : v128.load_ext<i8>(panel);
    const w1 = OF_BYTES ? v128.load(panel, 16) : v128.load_ext<i8>(panel, 8);
    const w2 = OF_BYTES ? v128.load(panel, 32) : v128.load_ext<i8>(panel, 16);
    const w3 = OF_BYTES ? v128.load(panel, 48) : v128.load_ext<i8>(panel, 24);
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
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 32);
  v128.store(to, b1, 48);
  v128.store(to, c0, 64);
  v128.store(to, c1, 80);
  v128.store(to, d0, 96);
  v128.store(to, d1, 112);
}

/** The same of three rows. */
export function sumThree(a: usize, size: usize, panel: usize, length: usize, ones: v128, to: usize): void {
  let b = a + size;
  let c = b + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0;
  for (const end = panel + length; panel < end; panel += GROUP, a += PART, b += PART, c += PART) {
    const w0 = OF_BYTES ? v128.load(panel) : v128.load_ext<i8>(panel);
    const w1 = OF_BYTES ? v128.load(panel, 16) : v128.load_ext<i8>(panel, 8);
    const w2 = OF_BYTES ? v128.load(panel, 32) : v128.load_ext<i8>(panel, 16);
    const w3 = OF_BYTES ? v128.load(panel, 48) : v128.load_ext<i8>(panel, 24);
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
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 32);
  v128.store(to, b1, 48);
  v128.store(to, c0, 64);
  v128.store(to, c1, 80);
}

/** Of two rows, or of one, `size` 0, twice. */
export function sumTwo(a: usize, size: usize, panel: usize, length: usize, ones: v128, to: usize): void {
  let b = a + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    b0 = a0,
    b1 = a0;
  for (const end = panel + length; panel < end; panel += GROUP, a += PART, b += PART) {
    const w0 = OF_BYTES ? v128.load(panel) : v128.load_ext<i8>(panel);
    const w1 = OF_BYTES ? v128.load(panel, 16) : v128.load_ext<i8>(panel, 8);
    const w2 = OF_BYTES ? v128.load(panel, 32) : v128.load_ext<i8>(panel, 16);
    const w3 = OF_BYTES ? v128.load(panel, 48) : v128.load_ext<i8>(panel, 24);
    let y = v128.load32_splat(a);
    let z = v128.load32_splat(a, 4);
    a0 = together(a0, w0, w2, y, z, ones);
    a1 = together(a1, w1, w3, y, z, ones);
    y = v128.load32_splat(b);
    z = v128.load32_splat(b, 4);
    b0 = together(b0, w0, w2, y, z, ones);
    b1 = together(b1, w1, w3, y, z, ones);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 32);
  v128.store(to, b1, 48);
}

/** Adds the products of two steps. */
function together(sum: v128, w: v128, v: v128, y: v128, z: v128, ones: v128): v128 {
  if (OF_BYTES) return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.add(dot(w, y), dot(v, z)), ones));
  return i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(w, y), i32x4.dot_i16x8_s(v, z)));
}

function dot(w: v128, y: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(w, y);
}

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
export function repair(
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
    const limits = v128.load(marks);
    const isMarked = i8x16.ne(limits, i8x16.splat(0));
    let passed = i8x16.bitmask(v128.and(i8x16.gt_u(v128.load(most), limits), isMarked));
    for (; passed !== 0; passed &= passed - 1) {
      const which = <usize>ctz(passed);
      repairStep(a + which * PART, size, count, panel + which * GROUP, ones, sums);
    }
  }
  for (; marks < last; marks++, most++, a += PART, panel += GROUP) {
    const limit = load<u8>(marks);
    if (limit && load<u8>(most) > limit) repairStep(a, size, count, panel, ones, sums);
  }
}

/** The same of a round in which a number passes the mark. */
function repairStep(a: usize, size: usize, count: i32, panel: usize, ones: v128, sums: usize): void {
  if (isLeft(largestOf(a, size, count), panel)) correct(a, size, count, panel, ones, sums);
}

function correct(a: usize, size: usize, count: i32, panel: usize, ones: v128, sums: usize): void {
  const w0 = v128.load(panel);
  const w1 = v128.load(panel, 16);
  const w2 = v128.load(panel, 32);
  const w3 = v128.load(panel, 48);
  for (const end = sums + ((<usize>count) << 5); sums < end; sums += 32, a += size) {
    const y = v128.load32_splat(a);
    const z = v128.load32_splat(a, 4);
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
function isLeft(most: v128, panel: usize): bool {
  const y = v128.shuffle<i32>(most, most, 0, 0, 0, 0);
  const z = v128.shuffle<i32>(most, most, 1, 1, 1, 1);
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
  const first = dot(w, y);
  const second = dot(v, z);
  const right = i32x4.add(i32x4.dot_i16x8_s(first, ones), i32x4.dot_i16x8_s(second, ones));
  return i32x4.add(sum, i32x4.sub(right, i32x4.dot_i16x8_s(i16x8.add(first, second), ones)));
}
