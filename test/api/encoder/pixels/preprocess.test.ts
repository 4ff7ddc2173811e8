// Decoding, resizing and normalising against what Pillow made: the vectors that the trainer's Python runs too.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decode } from '../../../../api/encoder/pixels/decode.ts';
import { createPreprocess } from '../../../../api/encoder/pixels/preprocess.ts';
import { resize } from '../../../../api/encoder/pixels/resize.ts';

interface Case {
  image: string;
  recipe: string;
  tolerance: number;
  expected: string;
  digest: string;
  values: [number, number][];
}
const folder = new URL('../../../../contracts/vectors/preprocess/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, folder));
const { recipes, cases } = JSON.parse(read('cases.json').toString()) as {
  recipes: Record<string, object>;
  cases: Case[];
};
const { vectors } = JSON.parse(read('resize.json').toString()) as {
  vectors: { from: [number, number]; to: [number, number]; digest: string; interpolation: 'bicubic' | 'bilinear' }[];
};
const digest = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

describe('an image file becomes the pixels that the trainer sees', () => {
  test.each(cases)('$image by $recipe', async (vector) => {
    const preprocess = createPreprocess(recipes[vector.recipe]);
    const picture = await decode(read(vector.image));
    const pixels = preprocess.toPixels(picture);
    if (vector.tolerance === 0) expect(digest(pixels)).toBe(vector.digest);
    const expected = await sharp(read(vector.expected)).removeAlpha().toColourspace('srgb').raw().toBuffer();
    const worst = pixels.reduce((most, level, i) => Math.max(most, Math.abs(level - (expected[i] ?? -1000))), 0);
    expect(worst).toBeLessThanOrEqual(vector.tolerance);
    const { tensor, width, height } = preprocess.toTensor(picture);
    expect(tensor).toHaveLength(3 * width * height);
    const slack = 1e-6 + vector.tolerance / 255 / 0.224;
    for (const [place, value] of vector.values) expect(Math.abs((tensor[place] ?? NaN) - value)).toBeLessThan(slack);
  });
});

describe('resizing is bit-exact with Pillow', () => {
  test.each(vectors)('$from to $to, $interpolation', ({ from, to, digest: expected, interpolation }) => {
    const [[width, height], [toWidth, toHeight]] = [from, to];
    const picture = { width, height, pixels: noise(width * height * 3) };
    const crop = { left: 0, top: 0, width: toWidth, height: toHeight };
    expect(digest(resize(picture, { width: toWidth, height: toHeight, crop, interpolation }))).toBe(expected);
  });

  test('a crop of the resized image holds the same pixels as the whole', () => {
    const picture = { width: 97, height: 61, pixels: noise(97 * 61 * 3) };
    const scaled = { width: 50, height: 30, interpolation: 'bicubic' as const };
    const whole = resize(picture, { ...scaled, crop: { left: 0, top: 0, width: 50, height: 30 } });
    const part = resize(picture, { ...scaled, crop: { left: 21, top: 9, width: 12, height: 12 } });
    for (let y = 0; y < 12; y++) {
      const from = ((y + 9) * 50 + 21) * 3;
      expect(part.subarray(y * 36, y * 36 + 36)).toEqual(whole.subarray(from, from + 36));
    }
  });
});

describe('the recipe is refused', () => {
  const recipe = { ...recipes.shortest };
  test.each([
    ['an unknown key', { ...recipe, gamma: 2.2 }, /gamma/],
    ['another interpolation', { ...recipe, interpolation: 'nearest' }, /interpolation/],
    ['a result that is not square', { ...recipe, crop: 'none' }, /crop is 'center' with resize_mode 'shortest'/],
    ['a patch where the result is a square', { ...recipe, patch: 3 }, /patch is given with resize_mode 'patches'/],
    ['no patch where pictures keep their shape', { ...recipes.patches, patch: undefined }, /patch is given with/],
    ['a square that patches do not fill', { ...recipes.patches, patch: 5 }, /size 32 is no multiple of patch 5/],
    ['a missing mean', { ...recipe, mean: undefined }, /mean/],
  ])('with %s', (_, bad, message) => {
    expect(() => createPreprocess(bad)).toThrow(message);
  });
});

/** The generator of make.py. */
function noise(length: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}
