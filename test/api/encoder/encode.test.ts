// Files to vectors: what is refused and how, and that what is accepted is what the model says.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CoreError } from '../../../api/core/errors.ts';
import { createBatcher } from '../../../api/encoder/batcher.ts';
import { createEncode, createGate, type Encode } from '../../../api/encoder/encode.ts';
import { decode } from '../../../api/encoder/pixels/decode.ts';
import { createPreprocess, type Prepared } from '../../../api/encoder/pixels/preprocess.ts';
import { type ImageSession, openSession, readManifest } from '../../../api/encoder/session.ts';
import { EncodeResult } from '../../../contracts/src/api/encode.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { tinyTower, writeTinyImageModel } from '../../support/tiny-image-model.ts';
import { plainPng, pngThatClaims } from './bombs.ts';
import { drawing } from './mutations.ts';

const images = new URL('../../../contracts/vectors/preprocess/images/', import.meta.url);
const file = (name: string) => readFileSync(new URL(name, images));
const text = (content: string) => Buffer.from(content);
const { folder, manifest } = writeTinyImageModel();
let session: ImageSession;
let encode: Encode;

beforeAll(async () => {
  session = await openSession(folder, await readManifest(folder), { threads: 1 });
  encode = createEncode(manifest, session);
});
afterAll(() => session.close());

function vectorOf(result: EncodeResult | undefined): Float32Array {
  if (result?.status !== 'ok') throw new Error(JSON.stringify(result));
  const bytes = Buffer.from(result.embedding, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

describe('an accepted image', () => {
  test('gets the unit vector that the model gives its pixels', async () => {
    const [result] = await encode([file('wide.png')]);
    const { tensor } = createPreprocess(manifest.image.preprocess).toTensor(await decode(file('wide.png')));
    const expected = tinyTower(tensor);
    const vector = vectorOf(result);
    expect(vector).toHaveLength(8);
    vector.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] ?? NaN, 5);
    });
    expect(result).toMatchObject({ status: 'ok', width: 97, height: 61 });
  });

  test('reports its size as people see it, after EXIF rotation', async () => {
    expect(await encode([file('exif-6.jpg')])).toMatchObject([{ width: 61, height: 97 }]);
  });

  test.each(readdirSync(images))('%s is encoded', async (name) => {
    const [result] = await encode([file(name)]);
    expect(EncodeResult.parse(result).status).toBe('ok');
  });

  test('of animation gets the vector of its first frame', async () => {
    const [animated, still] = await encode([file('animated.gif'), file('palette.png')]);
    expect(vectorOf(animated)).toEqual(vectorOf(still));
  });

  test('gets the same vector alone as in a crowd, at its own place', async () => {
    const names = ['wide.png', 'tall.png', 'column.png', 'grey.png', 'alpha.png', 'row.png', 'dot.png', 'wide.jpg'];
    const crowd = [...names, ...names.toReversed(), ...names].map(file);
    const together = await encode(crowd);
    const alone = await Promise.all(names.map(async (name) => vectorOf((await encode([file(name)]))[0])));
    const expected = [...alone, ...alone.toReversed(), ...alone];
    together.forEach((result, i) => {
      vectorOf(result).forEach((value, j) => {
        expect(value).toBeCloseTo(expected[i]?.[j] ?? NaN, 6);
      });
    });
  });

  test('is not spoiled by bad neighbours', async () => {
    const results = await encode([file('wide.png'), text('no'), pngThatClaims(8, 8000), file('tall.png')]);
    expect(results.map((result) => (result.status === 'ok' ? 'ok' : result.code))).toEqual([
      'ok',
      'not_an_image',
      'broken_image',
      'ok',
    ]);
  });
});

describe('a file is refused', () => {
  const jpeg = file('wide.jpg');
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>';
  test.each([
    ['empty', Buffer.alloc(0), 'empty_input', /empty/],
    ['text', text('hello'), 'not_an_image', /JPEG, PNG, WebP, GIF and AVIF/],
    ['HTML', text('<!doctype html><title>404</title>'), 'not_an_image', /not an image/],
    ['SVG', text(svg), 'unsupported_image_type', /SVG/],
    ['SVG behind an XML declaration', text(`<?xml version="1.0"?>\n<!-- -->\n${svg}`), 'unsupported_image_type', /SVG/],
    ['a cut JPEG', jpeg.subarray(0, jpeg.length / 2), 'broken_image', /JPEG/],
    ['a JPEG that ends in its header', jpeg.subarray(0, 20), 'broken_image', /header/],
    ['a cut PNG', file('wide.png').subarray(0, 400), 'broken_image', /PNG/],
    ['a PNG without pixels', pngThatClaims(0, 5), 'broken_image', /header/],
    ['a cut WebP', file('lossless.webp').subarray(0, 200), 'broken_image', /WEBP/],
    ['a cut GIF', file('wide.gif').subarray(0, 200), 'broken_image', /GIF/],
    ['a cut AVIF', file('wide.avif').subarray(0, 500), 'broken_image', /AVIF/],
    ['a JPEG of one byte less', jpeg.subarray(0, -3), 'broken_image', /cut off/],
    ['a heavy one', Buffer.concat([jpeg, Buffer.alloc(LIMITS.image_bytes)]), 'image_too_large', /8,388,608/],
  ])('when it is %s', async (_, bytes, code, message) => {
    const [result] = await encode([bytes]);
    expect(result).toMatchObject({ status: 'failed', code, message: expect.stringMatching(message) });
  });

  test.each([
    ['PNG', pngThatClaims(4001, 4000), /4,001 x 4,000 = 16,004,000 pixels; at most 16,000,000 pixels/],
    ['PNG one pixel wide', pngThatClaims(1, 65_536), /65,535 on a side/],
    ['PNG with sides of 32 bits', pngThatClaims(2 ** 31 - 1, 2 ** 31 - 1), /2,147,483,647/],
    [
      'JPEG',
      withBytes(jpeg, jpeg.indexOf(Buffer.from([0xff, 0xc0])) + 5, [0xff, 0xff, 0xff, 0xff]),
      /65,535 x 65,535 .* at most 50,000,000 pixels/,
    ],
    ['GIF', withBytes(file('wide.gif'), 6, [0xff, 0xff, 0xff, 0xff]), /65,535 x 65,535/],
    ['WebP', withBytes(file('alpha.webp'), 21, [0xff, 0xff, 0xff, 0xff]), /16,384 x 16,384/],
  ])('by its header when a %s claims too many pixels', async (_, bytes, message) => {
    await expect(decode(bytes)).rejects.toThrow(message);
    await expect(decode(bytes)).rejects.toMatchObject({ code: 'too_many_pixels' });
  });

  test('or decoded, but never crashes the encoder, when any byte of it is damaged', async () => {
    const names = ['wide.png', 'palette.png', 'wide.jpg', 'progressive.jpg', 'lossy.webp', 'wide.gif', 'wide.avif'];
    const random = drawing(1);
    for (let round = 0; round < 210; round++) {
      const damaged = Buffer.from(file(names[round % names.length] ?? ''));
      for (let hits = 0; hits < 1 + random(4); hits++) damaged[random(damaged.length)] = random(256);
      const verdict = await decode(damaged).catch((error: unknown) => error);
      if (verdict instanceof Error) expect(verdict).toBeInstanceOf(CoreError);
    }
  });

  test('by bombs of megabytes without the memory that they would unfold to', async () => {
    const bombs = [plainPng(6000, 6000), plainPng(20_000, 20_000, 0), plainPng(65_535, 65_535, 0, 1)];
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 20; round++) {
      const results = await encode(bombs);
      for (const result of results) expect(result).toMatchObject({ code: 'too_many_pixels' });
    }
    // The smallest of them unfolds to 108 MB, all of them to more than 20 GB.
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
  });
});

test('no more images than allowed are decoded at a time, whatever fails', async () => {
  const gate = createGate(2);
  let [inside, most] = [0, 0];
  const task = (index: number) => async () => {
    most = Math.max(most, ++inside);
    await new Promise((done) => setImmediate(done));
    inside -= 1;
    if (index % 3 === 0) throw new Error('broken');
    return index;
  };
  const verdicts = await Promise.allSettled(Array.from({ length: 12 }, (_, index) => gate(task(index))));
  expect(verdicts.filter(({ status }) => status === 'fulfilled')).toHaveLength(8);
  expect([most, inside]).toEqual([2, 0]);
});

describe('the session', () => {
  test('refuses a graph whose bytes are not those of the manifest', async () => {
    const tampered = writeTinyImageModel();
    writeFileSync(join(tampered.folder, 'image.onnx'), readFileSync(join(folder, 'image.onnx')).subarray(1));
    await expect(openSession(tampered.folder, tampered.manifest, { threads: 1 })).rejects.toThrow(
      /has digest sha256:.*manifest says/,
    );
  });

  test('names the folder when there is no model', async () => {
    await expect(readManifest(join(folder, 'nowhere'))).rejects.toThrow(/no model at .*nowhere/);
  });
});

test('a manifest that cannot be read is not called missing', async () => {
  const { folder: other } = writeTinyImageModel();
  rmSync(join(other, 'manifest.json'));
  mkdirSync(join(other, 'manifest.json'));
  await expect(readManifest(other)).rejects.toThrow('EISDIR');
});

describe('concurrent requests', () => {
  const recorded = (fail = false) => {
    const sizes: number[] = [];
    const run = async (batch: Prepared[]) => {
      sizes.push(batch.length);
      if (fail) throw new Error('out of memory');
      return batch.map(({ tensor }) => tensor);
    };
    return { sizes, session: { run, close: async () => {} } };
  };
  const pictures = Array.from({ length: 19 }, (_, i) => ({ tensor: Float32Array.of(i), width: 1, height: 1 }));

  test('share batches that are never larger than allowed, and each gets its own vector back', async () => {
    const { sizes, session: fake } = recorded();
    const embed = createBatcher(fake, { maxBatch: 8, waitMs: 1 });
    expect(await Promise.all(pictures.map(embed))).toEqual(pictures.map(({ tensor }) => tensor));
    expect(sizes).toEqual([8, 8, 3]);
  });

  test('all learn of a failed batch, and the next one runs', async () => {
    const { session: fake } = recorded(true);
    const embed = createBatcher(fake, { maxBatch: 8, waitMs: 1 });
    const verdicts = await Promise.allSettled(pictures.map(embed));
    expect(new Set(verdicts.map(({ status }) => status))).toEqual(new Set(['rejected']));
  });
});

test('a decoded picture is what sharp shows, so the vectors prove more than themselves', async () => {
  const { data } = await sharp(file('wide.png')).raw().toBuffer({ resolveWithObject: true });
  expect(Buffer.from((await decode(file('wide.png'))).pixels)).toEqual(data);
});

function withBytes(bytes: Buffer, at: number, replacement: number[]): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(replacement, at);
  return copy;
}
