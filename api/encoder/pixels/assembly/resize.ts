// The WebAssembly module of the image encoder's resize: kernels over one linear memory, which its host lays out
// (../resize.ts). Nothing is allocated and nothing is kept: every function reads and writes where it is told to.
//
// Samples are multiplied by weights of 22 bits behind the point and summed in 32, as Pillow does. SIMD's one product that is
// as wide as that takes twice the time of the one of int16 whose neighbours are summed, so a weight comes in two parts,
// `high * 2^15 + low`, each of which is an int16: sums wrap at 32 bits, and so both ways give the same bits. Weights of two
// neighbours lie together: the low parts of both, then the high ones.

/** Bits of a weight's low part, which has no sign. */
const LOW_BITS: i32 = 15;

/** Bits behind the point. */
const PRECISION_BITS: i32 = 22;

/**
 * Two pixels of a row in turns, as int16: red and red, green and green, blue and blue, nothing. First the pixels 0 and 1,
 * then 2 and 3. In memory, because V8 would make a constant of the code anew at every use.
 */
const TURNS = memory.data<u8>([
  0, 128, 3, 128, 1, 128, 4, 128, 2, 128, 5, 128, 128, 128, 128, 128, 6, 128, 9, 128, 7, 128, 10, 128, 8, 128, 11, 128,
  128, 128, 128, 128,
]);

/** What rounds a sum to the nearest. */
const HALF = memory.data<i32>([1 << 21]);

/**
 * Rows of RGB, `pitch` bytes apart, to lines of `width` pixels, `linePitch` bytes apart. Pixel i begins at byte `starts[i]` of
 * the row and has `pairs` pairs of weights; behind the last row are as many bytes as a pixel reads, and 4 more. Behind the
 * last pixel of a line a byte is written.
 */
export function resizeRows(
  source: usize,
  rows: i32,
  pitch: usize,
  starts: usize,
  weights: usize,
  pairs: i32,
  width: i32,
  lines: usize,
  linePitch: usize,
): void {
  const firstTwo = v128.load(TURNS);
  const nextTwo = v128.load(TURNS, 16);
  const half = v128.load32_splat(HALF);
  const fours = (<usize>(pairs >> 1)) << 4;
  const isOdd = pairs & 1;
  const last = starts + ((<usize>width) << 2);
  for (let row = 0; row < rows; row++, source += pitch, lines += linePitch) {
    let to = lines;
    let weight = weights;
    for (let start = starts; start < last; start += 4, to += 3) {
      let from = source + <usize>load<u32>(start);
      let low = half;
      let high = i32x4.splat(0);
      for (const end = weight + fours; weight < end; weight += 16, from += 12) {
        const samples = v128.load(from);
        const two = i8x16.swizzle(samples, firstTwo);
        const next = i8x16.swizzle(samples, nextTwo);
        low = i32x4.add(low, i32x4.dot_i16x8_s(two, v128.load32_splat(weight)));
        high = i32x4.add(high, i32x4.dot_i16x8_s(two, v128.load32_splat(weight, 4)));
        low = i32x4.add(low, i32x4.dot_i16x8_s(next, v128.load32_splat(weight, 8)));
        high = i32x4.add(high, i32x4.dot_i16x8_s(next, v128.load32_splat(weight, 12)));
      }
      if (isOdd) {
        const two = i8x16.swizzle(v128.load(from), firstTwo);
        low = i32x4.add(low, i32x4.dot_i16x8_s(two, v128.load32_splat(weight)));
        high = i32x4.add(high, i32x4.dot_i16x8_s(two, v128.load32_splat(weight, 4)));
        weight += 8;
      }
      const total = i32x4.shr_s(i32x4.add(low, i32x4.shl(high, LOW_BITS)), PRECISION_BITS);
      const words = i16x8.narrow_i32x4_s(total, total);
      v128.store32_lane(to, i8x16.narrow_i16x8_u(words, words), 0);
    }
  }
}

/** Adds `pairs` pairs of lines, by their weights, onto the `bytes` sums of one row. `bytes` is a multiple of 16. */
export function addLines(lines: usize, linePitch: usize, weights: usize, pairs: i32, sums: usize, bytes: i32): void {
  const end = weights + ((<usize>pairs) << 3);
  for (const last = lines + <usize>bytes; lines < last; lines += 16, sums += 64) {
    let lowA = v128.load(sums);
    let lowB = v128.load(sums, 16);
    let lowC = v128.load(sums, 32);
    let lowD = v128.load(sums, 48);
    let highA = i32x4.splat(0);
    let highB = highA;
    let highC = highA;
    let highD = highA;
    for (let weight = weights, from = lines; weight < end; weight += 8, from += linePitch << 1) {
      const low = v128.load32_splat(weight);
      const high = v128.load32_splat(weight, 4);
      const first = v128.load(from);
      const second = v128.load(from + linePitch);
      const left = v128.shuffle<u8>(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const right = v128.shuffle<u8>(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const a = i16x8.extend_low_i8x16_u(left);
      lowA = i32x4.add(lowA, i32x4.dot_i16x8_s(a, low));
      highA = i32x4.add(highA, i32x4.dot_i16x8_s(a, high));
      const b = i16x8.extend_high_i8x16_u(left);
      lowB = i32x4.add(lowB, i32x4.dot_i16x8_s(b, low));
      highB = i32x4.add(highB, i32x4.dot_i16x8_s(b, high));
      const c = i16x8.extend_low_i8x16_u(right);
      lowC = i32x4.add(lowC, i32x4.dot_i16x8_s(c, low));
      highC = i32x4.add(highC, i32x4.dot_i16x8_s(c, high));
      const d = i16x8.extend_high_i8x16_u(right);
      lowD = i32x4.add(lowD, i32x4.dot_i16x8_s(d, low));
      highD = i32x4.add(highD, i32x4.dot_i16x8_s(d, high));
    }
    v128.store(sums, i32x4.add(lowA, i32x4.shl(highA, LOW_BITS)));
    v128.store(sums, i32x4.add(lowB, i32x4.shl(highB, LOW_BITS)), 16);
    v128.store(sums, i32x4.add(lowC, i32x4.shl(highC, LOW_BITS)), 32);
    v128.store(sums, i32x4.add(lowD, i32x4.shl(highD, LOW_BITS)), 48);
  }
}

/** Sums to `bytes` samples, of which none is written beyond the last. */
export function finishRow(sums: usize, bytes: i32, to: usize): void {
  const end = to + <usize>bytes;
  for (; to + 16 <= end; to += 16, sums += 64) {
    const first = i16x8.narrow_i32x4_s(whole(sums), whole(sums + 16));
    const second = i16x8.narrow_i32x4_s(whole(sums + 32), whole(sums + 48));
    v128.store(to, i8x16.narrow_i16x8_u(first, second));
  }
  for (; to < end; to++, sums += 4) store<u8>(to, min(max(load<i32>(sums) >> PRECISION_BITS, 0), 255));
}

function whole(sums: usize): v128 {
  return i32x4.shr_s(v128.load(sums), PRECISION_BITS);
}

/** uint8 [pixels, 3] to float32 [3, pixels], by the number that `levels` [3, 256] has for each level of a channel. */
export function normalise(from: usize, pixels: i32, levels: usize, to: usize): void {
  const plane = (<usize>pixels) << 2;
  for (const end = to + plane; to < end; to += 4, from += 3) {
    store<f32>(to, load<f32>(levels + ((<usize>load<u8>(from)) << 2)));
    store<f32>(to + plane, load<f32>(levels + ((<usize>load<u8>(from, 1)) << 2), 1024));
    store<f32>(to + plane * 2, load<f32>(levels + ((<usize>load<u8>(from, 2)) << 2), 2048));
  }
}
