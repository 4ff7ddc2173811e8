// Separable bicubic with Pillow's fixed-point arithmetic, rows before columns: bit-exact with its BICUBIC on 8-bit RGB.
// (Pillow 13 starts with the columns where that is cheaper; the twin in towers/preprocess.py asks for rows first.)
import type { Picture } from './decode.ts';

/** The resized image's part that is wanted: `size` x `size` pixels from (left, top); outside of it is black. */
export type Window = { left: number; top: number; size: number };

/** Pillow keeps 22 bits behind the point: 32 less 8 for a sample less 2 for overshoot. */
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/** Output pixel i reads `count[i]` samples from `first[i]`, weighted by `weights[i * stride ...]`. */
type Taps = { first: Int32Array; count: Int32Array; weights: Int32Array; stride: number };

function cubic(distance: number): number {
  const x = Math.abs(distance);
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Taps of output pixels from..to; shrinking widens the filter by the scale (antialiasing). */
function tapsOf(input: number, output: number, from: number, to: number): Taps {
  const scale = input / output;
  const widening = Math.max(scale, 1);
  const support = 2 * widening;
  const stride = Math.ceil(support) * 2 + 1;
  const [first, count] = [new Int32Array(to - from), new Int32Array(to - from)];
  const weights = new Int32Array((to - from) * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < to - from; i++) {
    const center = (from + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const taps = Math.min(input, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let t = 0; t < taps; t++) sum += exact[t] = cubic((t + start - center + 0.5) * (1 / widening));
    for (let t = 0; t < taps; t++) {
      const fixed = ((exact[t] ?? 0) / (sum === 0 ? 1 : sum)) * (1 << PRECISION_BITS);
      weights[i * stride + t] = fixed < 0 ? fixed - 0.5 : fixed + 0.5; // storing truncates, so this rounds
    }
    first[i] = start;
    count[i] = taps;
  }
  return { first, count, weights, stride };
}

function horizontal(source: Uint8Array, rowStart: number, taps: Taps, into: Uint8ClampedArray): void {
  const { first, count, weights, stride } = taps;
  for (let x = 0; x < first.length; x++) {
    let [r, g, b] = [HALF, HALF, HALF];
    let at = rowStart + (first[x] ?? 0) * 3;
    const end = x * stride + (count[x] ?? 0);
    for (let w = x * stride; w < end; w++, at += 3) {
      const weight = weights[w] ?? 0;
      r = (r + Math.imul(source[at] ?? 0, weight)) | 0;
      g = (g + Math.imul(source[at + 1] ?? 0, weight)) | 0;
      b = (b + Math.imul(source[at + 2] ?? 0, weight)) | 0;
    }
    into[x * 3] = r >> PRECISION_BITS;
    into[x * 3 + 1] = g >> PRECISION_BITS;
    into[x * 3 + 2] = b >> PRECISION_BITS;
  }
}

/**
 * Resizes to `width` x `height` and returns the window, computing nothing outside of it. Every source row is resized
 * horizontally once and added at once to the output rows that read it, so no intermediate image is held.
 */
export function resize(picture: Picture, width: number, height: number, window: Window): Uint8Array {
  const [left, right] = [Math.max(0, window.left), Math.min(width, window.left + window.size)];
  const [top, bottom] = [Math.max(0, window.top), Math.min(height, window.top + window.size)];
  const columns = tapsOf(picture.width, width, left, right);
  const rows = tapsOf(picture.height, height, top, bottom);
  const lineLength = (right - left) * 3;
  const sums = new Int32Array(lineLength * (bottom - top)).fill(HALF);
  const line = new Uint8ClampedArray(lineLength);
  let oldest = 0;
  for (let y = rows.first[0] ?? 0; y < picture.height; y++) {
    while (oldest < bottom - top && (rows.first[oldest] ?? 0) + (rows.count[oldest] ?? 0) <= y) oldest++;
    if (oldest === bottom - top) break;
    if ((rows.first[oldest] ?? 0) > y) continue;
    horizontal(picture.pixels, y * picture.width * 3, columns, line);
    for (let row = oldest; row < bottom - top && (rows.first[row] ?? 0) <= y; row++) {
      const weight = rows.weights[row * rows.stride + y - (rows.first[row] ?? 0)] ?? 0;
      const start = row * lineLength;
      for (let i = 0; i < lineLength; i++) {
        sums[start + i] = ((sums[start + i] ?? 0) + Math.imul(line[i] ?? 0, weight)) | 0;
      }
    }
  }
  const output = new Uint8ClampedArray(window.size * window.size * 3);
  for (let y = top; y < bottom; y++) {
    const to = ((y - window.top) * window.size + left - window.left) * 3;
    for (let i = 0; i < lineLength; i++) output[to + i] = (sums[(y - top) * lineLength + i] ?? 0) >> PRECISION_BITS;
  }
  return new Uint8Array(output.buffer);
}
