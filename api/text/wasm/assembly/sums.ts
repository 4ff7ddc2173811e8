// Sums of products of rows with a panel of 8 columns, in whole numbers.
//
// Plain SIMD128 has one product of whole numbers: int16 by int16, neighbours summed to int32. Weights are widened as they
// are loaded. Relaxed SIMD has one of bytes, int8 by 0..127 with neighbours summed to int16, which holds 2 x 127 x 128; it
// does twice as many products at once. Which of both this is decides `asc --enable relaxed-simd`.
//
// Widening to int32 is half of the work beside such products, so that it is done for the sum of two of them, 4 weights to
// a number: int16 holds that, whatever the activations are, where the positive weights and the negative ones of the four sum to
// no more than 258 each, as nearly all do. `pack` marks the others, and `repair` looks at what is marked: see repairs.ts.
// The loop does not ask for the marks: a branch that is taken once in forty rounds is foretold wrongly, and waits longer
// than a round takes.
//
// There are two orders of the weights of two steps, because there are two kinds of hosts. Straight, all four columns of a vector are
// of one step, and the numbers of a row that it is multiplied with are read once for each step. Turned, every other column is of the
// other step: the numbers of both steps are read at once, for the first vector as they are, for the second with neighbours exchanged.
// That is a shuffle more and a read less. In Node and browsers, where pages behind the memory trap, a read costs nothing beside it; workerd
// compares each address with the end of memory. Addresses are sums and no offsets for the same reason: loads without an offset share what they are
// compared with.
//
// Where a processor multiplies four bytes and adds them to int32 in one instruction, dots.ts is faster than either.

/** Whether products are those of bytes. */
export const OF_BYTES: bool = ASC_FEATURE_RELAXED_SIMD;

/** Bytes that a round takes of a panel, two steps, and of a row. A step is what the product of 4 lanes takes at once: 4 weights of a column, or 2. */
export const GROUP: usize = OF_BYTES ? 64 : 32;
export const PART: usize = 8;
/** Bytes of a row's sums with a panel. */
export const SUM: usize = 32;

/**
 * `Order` is u8, straight, or u16, turned; or u32, straight, for the products of dots.ts. What has a type as a parameter is compiled for each,
 * without a question in its loop.
 */
export function isTurned<Order>(): bool {
  return sizeof<Order>() === 2;
}
export function isAccumulating<Order>(): bool {
  return sizeof<Order>() === 4;
}

/** Four rows, `size` bytes apart, by a panel of `length` bytes: 8 sums of each at `to`. More would not be in registers. */
export function sumFour<Order>(a: usize, size: usize, panel: usize, length: usize, ones: v128, to: usize): void {
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
    const w1 = OF_BYTES ? v128.load(panel + 16) : v128.load_ext<i8>(panel, 8);
    const w2 = OF_BYTES ? v128.load(panel + 32) : v128.load_ext<i8>(panel, 16);
    const w3 = OF_BYTES ? v128.load(panel + 48) : v128.load_ext<i8>(panel, 24);
    let y = first<Order>(a);
    let z = second<Order>(a, y);
    a0 = together(a0, w0, w2, y, z, ones);
    a1 = together(a1, w1, w3, y, z, ones);
    y = first<Order>(b);
    z = second<Order>(b, y);
    b0 = together(b0, w0, w2, y, z, ones);
    b1 = together(b1, w1, w3, y, z, ones);
    y = first<Order>(c);
    z = second<Order>(c, y);
    c0 = together(c0, w0, w2, y, z, ones);
    c1 = together(c1, w1, w3, y, z, ones);
    y = first<Order>(d);
    z = second<Order>(d, y);
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
export function sumThree<Order>(a: usize, size: usize, panel: usize, length: usize, ones: v128, to: usize): void {
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
    const w1 = OF_BYTES ? v128.load(panel + 16) : v128.load_ext<i8>(panel, 8);
    const w2 = OF_BYTES ? v128.load(panel + 32) : v128.load_ext<i8>(panel, 16);
    const w3 = OF_BYTES ? v128.load(panel + 48) : v128.load_ext<i8>(panel, 24);
    let y = first<Order>(a);
    let z = second<Order>(a, y);
    a0 = together(a0, w0, w2, y, z, ones);
    a1 = together(a1, w1, w3, y, z, ones);
    y = first<Order>(b);
    z = second<Order>(b, y);
    b0 = together(b0, w0, w2, y, z, ones);
    b1 = together(b1, w1, w3, y, z, ones);
    y = first<Order>(c);
    z = second<Order>(c, y);
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
export function sumTwo<Order>(a: usize, size: usize, panel: usize, length: usize, ones: v128, to: usize): void {
  let b = a + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    b0 = a0,
    b1 = a0;
  for (const end = panel + length; panel < end; panel += GROUP, a += PART, b += PART) {
    const w0 = OF_BYTES ? v128.load(panel) : v128.load_ext<i8>(panel);
    const w1 = OF_BYTES ? v128.load(panel + 16) : v128.load_ext<i8>(panel, 8);
    const w2 = OF_BYTES ? v128.load(panel + 32) : v128.load_ext<i8>(panel, 16);
    const w3 = OF_BYTES ? v128.load(panel + 48) : v128.load_ext<i8>(panel, 24);
    let y = first<Order>(a);
    let z = second<Order>(a, y);
    a0 = together(a0, w0, w2, y, z, ones);
    a1 = together(a1, w1, w3, y, z, ones);
    y = first<Order>(b);
    z = second<Order>(b, y);
    b0 = together(b0, w0, w2, y, z, ones);
    b1 = together(b1, w1, w3, y, z, ones);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 32);
  v128.store(to, b1, 48);
}

/** Of the next eight bytes of a row, what the first vector of weights is multiplied with. */
export function first<Order>(row: usize): v128 {
  return isTurned<Order>() ? v128.load64_splat(row) : v128.load32_splat(row);
}

/** And the second one. */
export function second<Order>(row: usize, before: v128): v128 {
  return isTurned<Order>() ? v128.shuffle<i32>(before, before, 1, 0, 3, 2) : v128.load32_splat(row, 4);
}

/** Adds the products of two steps. */
function together(sum: v128, w: v128, v: v128, y: v128, z: v128, ones: v128): v128 {
  if (OF_BYTES) return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.add(dot(w, y), dot(v, z)), ones));
  return i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(w, y), i32x4.dot_i16x8_s(v, z)));
}

/** Products of bytes, neighbours summed to int16. */
export function dot(w: v128, y: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(w, y);
}
