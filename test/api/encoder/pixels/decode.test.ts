// Files that are whole, cut off, damaged or large: what is decoded, what is said of it, and what is refused.
import { readdirSync, readFileSync } from 'node:fs';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../../../../api/core/errors.ts';
import { decode } from '../../../../api/encoder/pixels/decode.ts';
import { createPreprocess } from '../../../../api/encoder/pixels/preprocess.ts';
import { LIMITS } from '../../../../contracts/src/api/limits.ts';
import { claiming } from '../bombs.ts';

const own = (name: string) => readFileSync(new URL(`files/${name}`, import.meta.url));
const images = new URL('../../../../contracts/vectors/preprocess/images/', import.meta.url);
const golden = (name: string) => readFileSync(new URL(name, images));
const sample = new URL('../../../../api/playground/samples/temple.jpg', import.meta.url).pathname;

describe('a file with a fault', () => {
  test('of which only the end mark is missing is refused with that, and taken when it is appended as told', async () => {
    const file = own('no-end-mark.jpg');
    await expect(decode(file)).rejects.toMatchObject({ code: 'broken_image', message: /end mark.*picture is whole/ });
    expect((await decode(Buffer.concat([file, Buffer.from('\xff\xd9', 'latin1')]))).warnings).toEqual([]);
  });

  test.each(['half-with-end-mark.jpg', 'header-4000x4000.jpg'])('%s is decoded with a warning', async (name) => {
    expect((await decode(own(name))).warnings).toEqual([expect.stringMatching(/data end before the picture does/)]);
  });

  test.each(readdirSync(images))('%s, which has none, has no warning', async (name) => {
    expect((await decode(golden(name))).warnings).toEqual([]);
  });

  const LIBRARY_WORDS = /vips|libjpeg|libpng|libwebp|heif|buffer|colorspace/i;
  test.each([
    'wide.jpg',
    'progressive.jpg',
    'cmyk.jpg',
    'wide.png',
    'wide.gif',
    'lossy.webp',
    'lossless.webp',
    'wide.avif',
  ])('%s is said to be cut off where it is, in no words of a library', async (name) => {
    const file = golden(name);
    const { code, message } = await refusalOf(file.subarray(0, file.length * 0.6));
    expect([code, message]).toEqual(['broken_image', expect.stringMatching(/cut off/)]);
    expect(message).not.toMatch(LIBRARY_WORDS);
  });

  test.each(['wide.png', 'wide.avif', 'lossless.webp'])('%s is said to be damaged where it is', async (name) => {
    const damaged = Buffer.from(golden(name));
    damaged.fill(0x55, Math.floor(damaged.length * 0.4), Math.floor(damaged.length * 0.9));
    const { code, message } = await refusalOf(damaged);
    expect([code, message]).toEqual(['broken_image', expect.stringMatching(/damaged/)]);
    expect(message).not.toMatch(LIBRARY_WORDS);
  });
});

test('of an AVIF sequence the first frame is taken', async () => {
  const file = own('animation.avif');
  const picture = await decode(file);
  expect(picture.original).toEqual({ type: 'avif', width: 160, height: 106 });
  // The still that the file carries beside its frames, under the brand of stills.
  const still = Buffer.from(file);
  still.write('avif', 8, 'latin1');
  expect(Buffer.from(picture.pixels)).toEqual(await sharp(still).raw().toBuffer());
});

describe('a photo of more pixels than are decoded as they are', () => {
  const preprocess = createPreprocess({
    resize_mode: 'squash',
    size: 224,
    interpolation: 'bicubic',
    crop: 'none',
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
    color: 'rgb',
  });

  test.each([
    ['JPEG', (photo: Sharp) => photo.jpeg({ quality: 80 })],
    ['JPEG that lies on its side', (photo: Sharp) => photo.withMetadata({ orientation: 6 }).jpeg({ quality: 80 })],
    ['progressive JPEG', (photo: Sharp) => photo.jpeg({ quality: 80, progressive: true })],
    ['WebP', (photo: Sharp) => photo.webp({ quality: 80, effort: 0 })],
  ])('is halved as %s, and what the tower sees stays the same', async (_, write) => {
    const file = await write(sharp(sample).resize(5001, 3333, { fit: 'fill' })).toBuffer();
    const picture = await decode(file);
    const whole = await sharp(file, { autoOrient: true }).raw().toBuffer({ resolveWithObject: true });
    const { width, height } = whole.info;
    expect(width * height).toBeGreaterThan(LIMITS.image_pixels);
    expect(picture.original).toMatchObject({ width, height });
    expect([picture.width, picture.height]).toEqual([Math.ceil(width / 2), Math.ceil(height / 2)]);
    const [half, full] = [preprocess.toPixels(picture), preprocess.toPixels({ width, height, pixels: whole.data })];
    const off = half.reduce((sum, level, i) => sum + Math.abs(level - (full[i] ?? 0)), 0) / half.length;
    expect(off).toBeLessThan(0.5);
  });

  test('is not taken in a format that is decoded as a whole', async () => {
    const file = await sharp({ create: { width: 4001, height: 4000, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    await expect(decode(file)).rejects.toMatchObject({ code: 'too_many_pixels' });
  });
});

test('an AVIF file with more pixels than its header says is to blame itself, not the memory of the machine', async () => {
  const plain = { width: 512, height: 512, channels: 3 as const, background: 'red' };
  const file = await sharp({ create: plain }).avif({ effort: 0 }).toBuffer();
  expect((await decode(file)).width).toBe(512);
  await expect(decode(claiming(file, 16, 16))).rejects.toMatchObject({ code: 'too_many_pixels' });
});

async function refusalOf(file: Uint8Array): Promise<CoreError> {
  const verdict = await decode(file).catch((error: unknown) => error);
  if (verdict instanceof CoreError) return verdict;
  throw new Error('the file was decoded');
}
