// Turns a picture into the graph's input by the manifest's preprocess recipe. Twin: trainer/towers/preprocess.py.
import { PreprocessRecipe } from '../../../contracts/src/model/preprocess.ts';
import type { Picture } from './decode.ts';
import { type Geometry, resize, resizeToTensor } from './resize.ts';

/** A picture as the graph reads it: float32 [3, height, width]. */
export interface Prepared {
  tensor: Float32Array;
  width: number;
  height: number;
}

export interface Preprocess {
  /** uint8 [height, width, 3], a square of `size` but with `patches`: resized, then cropped or padded with black. */
  toPixels(picture: Picture): Uint8Array;
  /** Ready for the graph; written into the beginning of `memory` where it is given, which any earlier tensor's buffer is large enough for. */
  toTensor(picture: Picture, memory?: ArrayBufferLike): Prepared;
}

/** transformers looks for the scale of a picture that keeps its shape between these, and comes so near to it. */
const SCALES = { least: 1e-6, largest: 100, step: 1e-5 };

/** Throws a ZodError for what the contract refuses: unknown keys, and combinations that mean nothing. */
export function createPreprocess(recipe: unknown): Preprocess {
  const checked = PreprocessRecipe.parse(recipe);
  const levels = new Float32Array(3 * 256);
  checked.mean.forEach((mean, channel) => {
    const std = checked.std[channel] ?? 1;
    for (let level = 0; level < 256; level++) levels[channel * 256 + level] = (level / 255 - mean) / std;
  });
  const planned = ({ width, height }: Picture) => geometry(width, height, checked);
  return {
    toPixels: (picture) => resize(picture, planned(picture)),
    // Memory for the largest, whatever the shape of this one.
    toTensor(picture, memory = new ArrayBuffer(4 * 3 * checked.size ** 2)) {
      const plan = planned(picture);
      const { width, height } = plan.crop;
      const tensor = new Float32Array(memory, 0, 3 * width * height);
      return { tensor: resizeToTensor(picture, plan, { levels, tensor }), width, height };
    },
  };
}

/** `shortest` truncates the longer side and rounds the offset half to even, as torchvision does; `longest` rounds. */
export function geometry(width: number, height: number, recipe: PreprocessRecipe): Geometry {
  const { size, resize_mode, interpolation, patch = 1 } = recipe;
  if (resize_mode === 'patches') {
    const [columns, rows] = patchGrid(width, height, { patch, most: (size / patch) ** 2 });
    const whole = { width: columns * patch, height: rows * patch };
    return { ...whole, crop: { left: 0, top: 0, ...whole }, interpolation };
  }
  const at = (w: number, h: number, offset: (side: number) => number) => {
    return { width: w, height: h, crop: { left: offset(w), top: offset(h), width: size, height: size }, interpolation };
  };
  if (resize_mode === 'squash') return at(size, size, () => 0);
  if (resize_mode === 'shortest') {
    const short = Math.min(width, height);
    const scaled = (side: number) => Math.trunc((size * side) / short);
    return at(scaled(width), scaled(height), (side) => roundHalfToEven((side - size) / 2));
  }
  const scale = size / Math.max(width, height);
  const fitted = (side: number) => Math.max(1, roundHalfToEven(side * scale));
  return at(fitted(width), fitted(height), (side) => -Math.trunc((size - side) / 2));
}

/**
 * Columns and rows of a picture of its own shape in at most so many patches: sides are scaled alike and rounded up. The largest scale is
 * found by halving, with the ends and the precision of transformers' Siglip2ImageProcessor, which decide where two grids are nearly equal.
 */
function patchGrid(width: number, height: number, { patch, most }: { patch: number; most: number }): [number, number] {
  const along = (side: number, scale: number) => Math.max(1, Math.ceil((side * scale) / patch));
  let { least: low, largest: high } = SCALES;
  while (high - low >= SCALES.step) {
    const middle = (low + high) / 2;
    if (along(width, middle) * along(height, middle) <= most) low = middle;
    else high = middle;
  }
  return [along(width, low), along(height, low)];
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below + (below % 2);
  return rest < 0.5 ? below : below + 1;
}
