// Samples of an axis, with their weights, that make each pixel of the resized image: Pillow's filters in its fixed-point numbers.
import type { PreprocessRecipe } from '../../../contracts/src/model/preprocess.ts';

export type Interpolation = PreprocessRecipe['interpolation'];

/** Pillow keeps 22 bits behind the point: 32 less 8 for a sample less 2 for overshoot. */
export const PRECISION_BITS = 22;

/** Output pixel i reads `count[i]` samples from `first[i]`, weighted by `weights[i * stride ...]`. */
export interface Taps {
  first: Int32Array;
  count: Int32Array;
  weights: Int32Array;
  stride: number;
}

/** Taps for the module's kernels: two neighbours at a time, each weight in two parts (assembly/resize.ts). */
export interface Pairs {
  /** The sample that an output pixel's first weight stands for. */
  first: Int32Array;
  /** As many for each output pixel, zeros where it has fewer. */
  pairs: number;
  /** int16 [outputs, pairs, 4]: the low parts of two weights, then their high ones. */
  weights: Int16Array;
}
export const PAIR_BYTES = 8;

/** Bits of a weight's low part, which has no sign. */
const LOW_BITS = 15;

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
export function tapsOf({ input, output, from, to }: Axis, interpolation: Interpolation): Taps {
  const filter = FILTERS[interpolation];
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

/** The first sample of each output pixel is a multiple of `step`. */
export function pairsOf({ first, count, weights, stride }: Taps, step = 1): Pairs {
  const before = first.map((start) => start % step);
  const pairs = Math.ceil(count.reduce((most, taps, i) => Math.max(most, taps + (before[i] ?? 0)), 0) / 2);
  const parts = new Int16Array(first.length * pairs * 4);
  for (let i = 0; i < first.length; i++) {
    for (let t = 0; t < (count[i] ?? 0); t++) {
      const weight = weights[i * stride + t] ?? 0;
      const tap = t + (before[i] ?? 0);
      const at = (i * pairs + (tap >> 1)) * 4 + (tap & 1);
      parts[at] = weight & ((1 << LOW_BITS) - 1);
      parts[at + 2] = weight >> LOW_BITS;
    }
  }
  return { first: first.map((start, i) => start - (before[i] ?? 0)), pairs, weights: parts };
}
