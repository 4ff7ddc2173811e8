// Turns a picture into the graph's input by the manifest's preprocess recipe. Twin: trainer/towers/preprocess.py.
import { PreprocessRecipe } from '../../../contracts/src/model/preprocess.ts';
import type { Picture } from './decode.ts';
import { type Geometry, resize, resizeToTensor } from './resize.ts';

export interface Preprocess {
  /** uint8 [size, size, 3]: resized, then cropped or padded with black. */
  toPixels(picture: Picture): Uint8Array;
  /** float32 [3, size, size], ready for the graph; written into `tensor` where one of that length is given. */
  toTensor(picture: Picture, tensor?: Float32Array): Float32Array;
}

/** Refuses what the contract refuses (unknown keys too) and the one combination that is not square. */
export function createPreprocess(recipe: unknown): Preprocess {
  const checked = PreprocessRecipe.parse(recipe);
  if ((checked.resize_mode === 'shortest') !== (checked.crop === 'center')) {
    throw new Error("preprocess recipe: crop is 'center' with resize_mode 'shortest' and 'none' otherwise");
  }
  const levels = new Float32Array(3 * 256);
  checked.mean.forEach((mean, channel) => {
    const std = checked.std[channel] ?? 1;
    for (let level = 0; level < 256; level++) levels[channel * 256 + level] = (level / 255 - mean) / std;
  });
  const planned = ({ width, height }: Picture) => geometry(width, height, checked);
  return {
    toPixels: (picture) => resize(picture, planned(picture)),
    toTensor: (picture, tensor = new Float32Array(3 * checked.size ** 2)) =>
      resizeToTensor(picture, planned(picture), { levels, tensor }),
  };
}

/** `shortest` truncates the longer side and rounds the offset half to even, as torchvision does; `longest` rounds. */
export function geometry(width: number, height: number, recipe: PreprocessRecipe): Geometry {
  const { size, resize_mode, interpolation } = recipe;
  const at = (w: number, h: number, offset: (side: number) => number) => {
    return { width: w, height: h, crop: { left: offset(w), top: offset(h), size }, interpolation };
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

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below + (below % 2);
  return rest < 0.5 ? below : below + 1;
}
