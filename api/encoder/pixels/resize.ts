// Separable bicubic and bilinear with Pillow's fixed-point arithmetic, rows before columns: bit-exact on 8-bit RGB.
// (Pillow 13 starts with the columns where that is cheaper; the twin in towers/preprocess.py asks for rows first.)
import type { PreprocessRecipe } from '../../../contracts/src/model/preprocess.ts';
import type { Picture } from './decode.ts';

/** The wanted part of the resized image: `size` x `size` pixels from (left, top), black outside of the image. */
export interface Crop {
  left: number;
  top: number;
  size: number;
}
/** The image is resized to `width` x `height`, then cropped. */
export interface Geometry {
  width: number;
  height: number;
  crop: Crop;
  interpolation: Interpolation;
}
export type Interpolation = PreprocessRecipe['interpolation'];

/** Pillow keeps 22 bits behind the point: 32 less 8 for a sample less 2 for overshoot. */
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/** Output pixel i reads `count[i]` samples from `first[i]`, weighted by `weights[i * stride ...]`. */
interface Taps {
  first: Int32Array;
  count: Int32Array;
  weights: Int32Array;
  stride: number;
}

/** How far a filter reaches, in pixels of the larger image, and what it weighs at a distance. */
interface Filter {
  support: number;
  weight(distance: number): number;
}
const FILTERS: Record<Interpolation, Filter> = {
  bicubic: { support: 2, weight: cubic },
  bilinear: { support: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) },
};

function cubic(distance: number): number {
  const x = Math.abs(distance);
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

interface Axis {
  /** Pixels of the source and of the resized image. */
  input: number;
  output: number;
  /** The output pixels that are wanted. */
  from: number;
  to: number;
}

/** Taps of output pixels from..to; shrinking widens the filter by the scale (antialiasing). */
function tapsOf({ input, output, from, to }: Axis, filter: Filter): Taps {
  const scale = input / output;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  const stride = Math.ceil(support) * 2 + 1;
  const [first, count] = [new Int32Array(to - from), new Int32Array(to - from)];
  const weights = new Int32Array((to - from) * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < to - from; i++) {
    const center = (from + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const taps = Math.min(input, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let t = 0; t < taps; t++) sum += exact[t] = filter.weight((t + start - center + 0.5) * (1 / widening));
    for (let t = 0; t < taps; t++) {
      const fixed = ((exact[t] ?? 0) / (sum === 0 ? 1 : sum)) * (1 << PRECISION_BITS);
      // Storing truncates, so this rounds.
      weights[i * stride + t] = fixed < 0 ? fixed - 0.5 : fixed + 0.5;
    }
    first[i] = start;
    count[i] = taps;
  }
  return { first, count, weights, stride };
}

/** `source` begins with the row that is resized. */
function resizeRow(source: Uint8Array, { first, count, weights, stride }: Taps, into: Uint8ClampedArray): void {
  for (let x = 0; x < first.length; x++) {
    let [r, g, b] = [HALF, HALF, HALF];
    let at = (first[x] ?? 0) * 3;
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
 * Returns the crop of the resized image and computes nothing outside of it. Every source row is resized
 * horizontally once and added at once to the output rows that read it, so no intermediate image is held.
 */
export function resize(picture: Picture, { width, height, crop, interpolation }: Geometry): Uint8Array {
  const [left, right] = [Math.max(0, crop.left), Math.min(width, crop.left + crop.size)];
  const [top, bottom] = [Math.max(0, crop.top), Math.min(height, crop.top + crop.size)];
  const filter = FILTERS[interpolation];
  const columns = tapsOf({ input: picture.width, output: width, from: left, to: right }, filter);
  const rows = tapsOf({ input: picture.height, output: height, from: top, to: bottom }, filter);
  const lineLength = (right - left) * 3;
  const sums = new Int32Array(lineLength * (bottom - top)).fill(HALF);
  const line = new Uint8ClampedArray(lineLength);
  let oldest = 0;
  for (let y = rows.first[0] ?? 0; y < picture.height; y++) {
    while (oldest < bottom - top && (rows.first[oldest] ?? 0) + (rows.count[oldest] ?? 0) <= y) oldest++;
    if (oldest === bottom - top) break;
    if ((rows.first[oldest] ?? 0) > y) continue;
    resizeRow(picture.pixels.subarray(y * picture.width * 3), columns, line);
    for (let row = oldest; row < bottom - top && (rows.first[row] ?? 0) <= y; row++) {
      const weight = rows.weights[row * rows.stride + y - (rows.first[row] ?? 0)] ?? 0;
      addWeighted(sums.subarray(row * lineLength, (row + 1) * lineLength), line, weight);
    }
  }
  const output = new Uint8ClampedArray(crop.size * crop.size * 3);
  for (let y = top; y < bottom; y++) {
    const to = ((y - crop.top) * crop.size + left - crop.left) * 3;
    for (let i = 0; i < lineLength; i++) output[to + i] = (sums[(y - top) * lineLength + i] ?? 0) >> PRECISION_BITS;
  }
  return new Uint8Array(output.buffer);
}

function addWeighted(sums: Int32Array, line: Uint8ClampedArray, weight: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = ((sums[i] ?? 0) + Math.imul(line[i] ?? 0, weight)) | 0;
}
