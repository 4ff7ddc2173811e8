// Sums of products of rows with a panel of 8 columns, as sums.ts makes them, by relaxed SIMD's product that accumulates: four bytes by four, into int32.
//
// Where a processor has it as one instruction (AVX-VNNI, ARM's dot product) nothing leaves int16 and nothing is repaired. Elsewhere it is
// five instructions, which the loops of sums.ts do better: `probe` tells where that is. Weights lie straight.
//
// The instruction takes two in a cycle and answers after four or five, so that a loop wants ten sums or more that do not wait for each other, and the
// register for weights and activations wants to stay beside them: six rows have twelve. Three rows and two have two sums for each number, of every other step.

import { GROUP, PART as PARTS, SUM } from './sums';

/** Bytes that a step, half a round, takes of a panel, and of a row. */
const STEP: usize = GROUP / 2;
const PART: usize = PARTS / 2;

/** Sums of `count` rows, `size` bytes apart, with a panel of `length` bytes, from `to` on. */
export function sumDots(a: usize, size: usize, count: i32, panel: usize, length: usize, to: usize): void {
  for (let left = count; left > 0; ) {
    const taken = takenOf(left);
    if (taken === 6) sumSix(a, size, panel, length, to);
    else if (taken === 5) sumFive(a, size, panel, length, to);
    else if (taken === 3) sumThree(a, size, panel, length, to);
    else sumTwo(a, left > 1 ? size : 0, panel, length, to);
    left -= taken;
    a += size * taken;
    to += SUM * taken;
  }
}

/** Of so many rows those that go first: sixes, unless 1, 2, 4 or 7 were left, which take longer. One takes what two do, and four what five do. */
function takenOf(left: i32): i32 {
  if (left === 5 || left === 7 || left === 8 || left === 10 || left === 13) return 5;
  if (left > 5) return 6;
  return left === 3 ? 3 : 2;
}

/** Six rows: more would not be in registers. */
function sumSix(a: usize, size: usize, panel: usize, length: usize, to: usize): void {
  let b = a + size;
  let c = b + size;
  let d = c + size;
  let e = d + size;
  let f = e + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0,
    d0 = a0,
    d1 = a0,
    e0 = a0,
    e1 = a0,
    f0 = a0,
    f1 = a0;
  for (
    const end = panel + length;
    panel < end;
    panel += STEP, a += PART, b += PART, c += PART, d += PART, e += PART, f += PART
  ) {
    const w0 = v128.load(panel);
    const w1 = v128.load(panel, 16);
    let y = v128.load32_splat(a);
    a0 = plus(w0, y, a0);
    a1 = plus(w1, y, a1);
    y = v128.load32_splat(b);
    b0 = plus(w0, y, b0);
    b1 = plus(w1, y, b1);
    y = v128.load32_splat(c);
    c0 = plus(w0, y, c0);
    c1 = plus(w1, y, c1);
    y = v128.load32_splat(d);
    d0 = plus(w0, y, d0);
    d1 = plus(w1, y, d1);
    y = v128.load32_splat(e);
    e0 = plus(w0, y, e0);
    e1 = plus(w1, y, e1);
    y = v128.load32_splat(f);
    f0 = plus(w0, y, f0);
    f1 = plus(w1, y, f1);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 32);
  v128.store(to, b1, 48);
  v128.store(to, c0, 64);
  v128.store(to, c1, 80);
  v128.store(to, d0, 96);
  v128.store(to, d1, 112);
  v128.store(to, e0, 128);
  v128.store(to, e1, 144);
  v128.store(to, f0, 160);
  v128.store(to, f1, 176);
}

/** The same of five. */
function sumFive(a: usize, size: usize, panel: usize, length: usize, to: usize): void {
  let b = a + size;
  let c = b + size;
  let d = c + size;
  let e = d + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0,
    d0 = a0,
    d1 = a0,
    e0 = a0,
    e1 = a0;
  for (const end = panel + length; panel < end; panel += STEP, a += PART, b += PART, c += PART, d += PART, e += PART) {
    const w0 = v128.load(panel);
    const w1 = v128.load(panel, 16);
    let y = v128.load32_splat(a);
    a0 = plus(w0, y, a0);
    a1 = plus(w1, y, a1);
    y = v128.load32_splat(b);
    b0 = plus(w0, y, b0);
    b1 = plus(w1, y, b1);
    y = v128.load32_splat(c);
    c0 = plus(w0, y, c0);
    c1 = plus(w1, y, c1);
    y = v128.load32_splat(d);
    d0 = plus(w0, y, d0);
    d1 = plus(w1, y, d1);
    y = v128.load32_splat(e);
    e0 = plus(w0, y, e0);
    e1 = plus(w1, y, e1);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 32);
  v128.store(to, b1, 48);
  v128.store(to, c0, 64);
  v128.store(to, c1, 80);
  v128.store(to, d0, 96);
  v128.store(to, d1, 112);
  v128.store(to, e0, 128);
  v128.store(to, e1, 144);
}

/** Of three rows, two steps in a round. */
function sumThree(a: usize, size: usize, panel: usize, length: usize, to: usize): void {
  let b = a + size;
  let c = b + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    a2 = a0,
    a3 = a0,
    b0 = a0,
    b1 = a0,
    b2 = a0,
    b3 = a0,
    c0 = a0,
    c1 = a0,
    c2 = a0,
    c3 = a0;
  for (const end = panel + length; panel < end; panel += STEP * 2, a += PART * 2, b += PART * 2, c += PART * 2) {
    const w0 = v128.load(panel);
    const w1 = v128.load(panel, 16);
    let y = v128.load32_splat(a);
    a0 = plus(w0, y, a0);
    a1 = plus(w1, y, a1);
    y = v128.load32_splat(b);
    b0 = plus(w0, y, b0);
    b1 = plus(w1, y, b1);
    y = v128.load32_splat(c);
    c0 = plus(w0, y, c0);
    c1 = plus(w1, y, c1);
    const w2 = v128.load(panel, 32);
    const w3 = v128.load(panel, 48);
    y = v128.load32_splat(a, 4);
    a2 = plus(w2, y, a2);
    a3 = plus(w3, y, a3);
    y = v128.load32_splat(b, 4);
    b2 = plus(w2, y, b2);
    b3 = plus(w3, y, b3);
    y = v128.load32_splat(c, 4);
    c2 = plus(w2, y, c2);
    c3 = plus(w3, y, c3);
  }
  v128.store(to, i32x4.add(a0, a2));
  v128.store(to, i32x4.add(a1, a3), 16);
  v128.store(to, i32x4.add(b0, b2), 32);
  v128.store(to, i32x4.add(b1, b3), 48);
  v128.store(to, i32x4.add(c0, c2), 64);
  v128.store(to, i32x4.add(c1, c3), 80);
}

/** Of two rows, or of one, `size` 0, twice. */
function sumTwo(a: usize, size: usize, panel: usize, length: usize, to: usize): void {
  let b = a + size;
  let a0 = i32x4.splat(0);
  let a1 = a0,
    a2 = a0,
    a3 = a0,
    b0 = a0,
    b1 = a0,
    b2 = a0,
    b3 = a0;
  for (const end = panel + length; panel < end; panel += STEP * 2, a += PART * 2, b += PART * 2) {
    const w0 = v128.load(panel);
    const w1 = v128.load(panel, 16);
    let y = v128.load32_splat(a);
    a0 = plus(w0, y, a0);
    a1 = plus(w1, y, a1);
    y = v128.load32_splat(b);
    b0 = plus(w0, y, b0);
    b1 = plus(w1, y, b1);
    const w2 = v128.load(panel, 32);
    const w3 = v128.load(panel, 48);
    y = v128.load32_splat(a, 4);
    a2 = plus(w2, y, a2);
    a3 = plus(w3, y, a3);
    y = v128.load32_splat(b, 4);
    b2 = plus(w2, y, b2);
    b3 = plus(w3, y, b3);
  }
  v128.store(to, i32x4.add(a0, a2));
  v128.store(to, i32x4.add(a1, a3), 16);
  v128.store(to, i32x4.add(b0, b2), 32);
  v128.store(to, i32x4.add(b1, b3), 48);
}

/** A sum and four products of bytes. */
function plus(w: v128, y: v128, sum: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(w, y, sum) : sum;
}

/**
 * What the product that accumulates makes of four times `weight` by `activation`; 0 in the build that has none. Above 127 an activation is outside of what
 * relaxed SIMD defines, and the answer tells how a processor computes: 127 by 255 are 129,540 where x86 has one instruction for it, -508 on ARM,
 * to which 255 is -1, and 65,534 where pairs are summed to int16 first, and end at 32,767.
 */
export function probe(weight: i32, activation: i32): i32 {
  const sum = plus(i8x16.splat(<i8>weight), i8x16.splat(<i8>activation), i32x4.splat(0));
  return i32x4.extract_lane(sum, 0);
}
