// The module that resizes against its definition, sample by sample, on sizes around every block that it works in.
import { describe, expect, test } from 'vitest';
import type { Picture } from '../../../../api/encoder/pixels/decode.ts';
import { openModule } from '../../../../api/encoder/pixels/kernels.ts';
import { createPreprocess } from '../../../../api/encoder/pixels/preprocess.ts';
import { type Geometry, resize } from '../../../../api/encoder/pixels/resize.ts';
import { type Taps, tapsOf } from '../../../../api/encoder/pixels/taps.ts';
import type { PreprocessRecipe } from '../../../../contracts/src/model/preprocess.ts';
import { drawing } from '../mutations.ts';

/** Nothing but 0 and 255 where `isHard`: sums that leave 0..255 on both sides. */
function draw(width: number, height: number, { seed = 1, isHard = false } = {}): Picture {
  const next = drawing(seed);
  const level = () => (isHard ? 255 * next(2) : next(256));
  return { width, height, pixels: Uint8Array.from({ length: width * height * 3 }, level) };
}

/** Pillow's sum for one sample: weights times samples in whole numbers, rounded and held within 0..255. */
function sumOf({ first, count, weights, stride }: Taps, output: number, sample: (place: number) => number): number {
  let sum = 2 ** 21;
  for (let tap = 0; tap < (count[output] ?? 0); tap++) {
    sum += (weights[output * stride + tap] ?? 0) * sample((first[output] ?? 0) + tap);
  }
  return Math.min(255, Math.max(0, Math.floor(sum / 2 ** 22)));
}

/** All rows, then all columns, then the crop. Pillow's own digests hold `tapsOf` (preprocess.test.ts). */
function define({ width, height, pixels }: Picture, to: Geometry): Uint8Array {
  const columns = tapsOf({ input: width, output: to.width, from: 0, to: to.width }, to.interpolation);
  const rows = tapsOf({ input: height, output: to.height, from: 0, to: to.height }, to.interpolation);
  const lines = new Uint8Array(height * to.width * 3).map((_, i) => {
    const [y, x, channel] = [Math.floor(i / 3 / to.width), Math.floor(i / 3) % to.width, i % 3];
    return sumOf(columns, x, (place) => pixels[(y * width + place) * 3 + channel] ?? Number.NaN);
  });
  const { left, top, width: across, height: down } = to.crop;
  return new Uint8Array(across * down * 3).map((_, i) => {
    const [y, x, channel] = [Math.floor(i / 3 / across) + top, (Math.floor(i / 3) % across) + left, i % 3];
    if (x < 0 || y < 0 || x >= to.width || y >= to.height) return 0;
    return sumOf(rows, y, (place) => lines[(place * to.width + x) * 3 + channel] ?? Number.NaN);
  });
}

function expectDefined(picture: Picture, geometry: Geometry): void {
  expect(Buffer.compare(resize(picture, geometry), define(picture, geometry)), JSON.stringify(geometry)).toBe(0);
}

const whole = (width: number, height: number, interpolation: Geometry['interpolation'] = 'bicubic') => {
  return { width, height, crop: { left: 0, top: 0, width, height }, interpolation };
};

describe('every sample is what its definition says', () => {
  test.each(['bicubic', 'bilinear'] as const)('at random sizes and crops, %s, in any order', (interpolation) => {
    const next = drawing(interpolation.length);
    for (let run = 0; run < 120; run++) {
      const picture = draw(1 + next(70), 1 + next(70), { seed: run, isHard: run % 3 === 0 });
      const [width, height] = [1 + next(40), 1 + next(40)];
      const size = { width: 1 + next(36), height: 1 + next(36) };
      // Beside the image as well as within it; at least one pixel of it is in the crop.
      const place = (side: number, part: number) => next(side + part - 1) - part + 1;
      const crop = { left: place(width, size.width), top: place(height, size.height), ...size };
      expectDefined(picture, { width, height, crop, interpolation });
    }
  });

  test.each([
    ['one pixel', [1, 1], [16, 16]],
    ['one row', [1 << 12, 1], [32, 32]],
    ['one column', [1, 1 << 12], [32, 32]],
    ['a row as long as a file may have', [65_535, 1], [5, 3]],
    ['a column as long as a file may have', [1, 65_535], [3, 5]],
    ['a row longer than what is in memory at a time', [50_001, 3], [7, 2]],
    ['a picture of many strips', [301, 1999], [32, 31]],
    ['a picture that grows', [31, 17], [97, 120]],
    ['a picture that stays', [33, 47], [33, 47]],
  ] as const)('of %s', (_, [width, height], [toWidth, toHeight]) => {
    expectDefined(draw(width, height), whole(toWidth, toHeight));
    expectDefined(draw(width, height, { isHard: true }), whole(toWidth, toHeight, 'bilinear'));
  });

  test('of a picture after a larger one, whose samples are still in memory', () => {
    resize({ width: 800, height: 600, pixels: new Uint8Array(800 * 600 * 3).fill(255) }, whole(64, 64));
    expectDefined(draw(37, 41), { ...whole(20, 20), crop: { left: -5, top: -4, width: 32, height: 30 } });
  });
});

test('memory does not grow with the picture', () => {
  const preprocess = createPreprocess(recipe());
  preprocess.toPixels({ width: 4000, height: 4000, pixels: new Uint8Array(48_000_000) });
  preprocess.toPixels({ width: 65_535, height: 244, pixels: new Uint8Array(47_971_620) });
  expect(openModule().memory.buffer.byteLength).toBeLessThan(8 * 2 ** 20);
});

test('a tensor has, plane by plane, the numbers of its pixels, also where it is given', () => {
  const [picture, { mean, std, ...rest }] = [draw(90, 61), recipe()];
  const preprocess = createPreprocess({ mean, std, ...rest });
  const pixels = preprocess.toPixels(picture);
  const plane = pixels.length / 3;
  const expected = Float32Array.from({ length: pixels.length }, (_, i) => {
    const channel = Math.floor(i / plane);
    return ((pixels[(i % plane) * 3 + channel] ?? 0) / 255 - (mean[channel] ?? 0)) / (std[channel] ?? 0);
  });
  expect(preprocess.toTensor(picture)).toEqual({ tensor: expected, width: 224, height: 224 });
  const given = new Float32Array(pixels.length).fill(7);
  expect(preprocess.toTensor(picture, given.buffer).tensor).toEqual(expected);
  expect(given).toEqual(expected);
});

function recipe(): PreprocessRecipe {
  const shape = { resize_mode: 'squash', size: 224, crop: 'none', interpolation: 'bicubic', color: 'rgb' } as const;
  return { ...shape, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}
