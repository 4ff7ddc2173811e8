// 200 damaged pictures and 20 bombs among good ones in a job of `npm run encode`: the good ones as without them, each bad one a line, no memory more.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { CoreError } from '../../api/core/errors.ts';
import { decode } from '../../api/encoder/pixels/decode.ts';
import { createPreprocess } from '../../api/encoder/pixels/preprocess.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import type { BulkError } from '../../contracts/src/bulk/lines.ts';
import { type EncodeRun, runEncode } from '../api/bulk/encode-run.ts';
import { IMAGES, newFolder, vectorOf, writeTinyModel } from '../api/bulk/jobs.ts';
import {
  claiming,
  gifOf,
  jpegOfScans,
  plainPng,
  pngOfMore,
  pngThatClaims,
  pngWithChunk,
} from '../api/encoder/bombs.ts';
import { MUTATIONS, mutated } from '../api/encoder/mutations.ts';
import { tinyManifest, tinyTower } from '../support/tiny-image-model.ts';

const MUTATED = 200;
/** Enough of a few MiB to fill the chunks that are held at once, however the processor is shared: what is normal is the most that good ones take. */
const PHOTOGRAPHS = 12;
const MEMORY_FACTOR = 1.3;
/** Files of a folder, by name. */
type Files = Map<string, Uint8Array>;

const sampleNames = readdirSync(IMAGES).filter((name) => /\.(jpg|png|webp|gif|avif)$/.test(name));
const sample = (name: string): Buffer => readFileSync(join(IMAGES, name));

/** The samples in copies that differ by what stands behind the picture, and photographs as large as they may be. */
async function goodFiles(): Promise<Files> {
  const files: Files = new Map();
  for (const name of sampleNames) for (const copy of [1, 2, 3]) files.set(`good-${copy}-${name}`, sample(name));
  // With grain, as cameras leave it: without it, a photograph of this size is a tenth of the bytes.
  const grain = { type: 'gaussian' as const, mean: 128, sigma: 12 };
  const photo = sharp({ create: { width: 4000, height: 3000, channels: 3, background: '#888', noise: grain } });
  const photograph = await photo.jpeg({ quality: 90 }).toBuffer();
  for (let number = 1; number <= PHOTOGRAPHS; number++) files.set(`good-photograph-${number}.jpg`, photograph);
  files.set('good-wall.png', plainPng(4000, 4000));
  return files;
}

/** Bombs, and what is said of each; null where there is a picture to show, with grey in the place of what is missing, and so it is embedded. */
async function bombFiles(): Promise<[file: Uint8Array, code: BulkError['code'] | null][]> {
  const animated = await sharp(Buffer.alloc(64 * 128 * 3, 90), {
    raw: { width: 64, height: 128, channels: 3, pageHeight: 64 },
  })
    .webp()
    .toBuffer();
  const plain = { width: 4096, height: 4096, channels: 3 as const, background: '#888' };
  const avif = await sharp({ create: plain }).avif({ effort: 0 }).toBuffer();
  return [
    [plainPng(4001, 4000), 'too_many_pixels'],
    [plainPng(16_000, 1001, 0, 1), 'too_many_pixels'],
    [pngThatClaims(60_000, 60_000), 'too_many_pixels'],
    [pngThatClaims(70_000, 1), 'too_many_pixels'],
    [claiming(sample('palette.png'), 100_000, 30_000), 'too_many_pixels'],
    [pngOfMore(100), null],
    [pngWithChunk('iCCP', 100), null],
    [pngWithChunk('zTXt', 100), null],
    [claiming(sample('wide.jpg'), 65_500, 65_500), 'too_many_pixels'],
    [claiming(sample('progressive.jpg'), 7_200, 7_000), 'too_many_pixels'],
    [claiming(sample('wide.jpg'), 7_000, 7_000), null],
    [jpegOfScans(sample('progressive.jpg'), 20_000), 'broken_image'],
    [claiming(sample('lossy.webp'), 16_383, 16_383), 'too_many_pixels'],
    [claiming(sample('lossless.webp'), 16_384, 16_384), 'too_many_pixels'],
    [claiming(sample('exif-6.webp'), 16_384, 16_384), 'too_many_pixels'],
    [claiming(animated, 8_000, 8_000), 'too_many_pixels'],
    [claiming(sample('wide.gif'), 65_535, 65_535), 'too_many_pixels'],
    [gifOf([100, 100], [65_535, 65_535], 1), 'too_many_pixels'],
    [claiming(sample('wide.avif'), 65_535, 65_535), 'too_many_pixels'],
    [claiming(avif, 64, 64), 'too_many_pixels'],
    [Buffer.alloc(LIMITS.image_bytes + 1, 0xff), 'image_too_large'],
  ];
}

function mutatedFiles(): Files {
  const files: Files = new Map();
  for (let i = 0; i < MUTATED; i++) {
    const name = sampleNames[i % sampleNames.length] ?? '';
    const mutation = MUTATIONS[i % MUTATIONS.length] ?? 'flip';
    files.set(`mutated-${String(i).padStart(3, '0')}-${mutation}-${name}`, mutated(sample(name), mutation, i));
  }
  return files;
}

/** With one process, whose memory is that of the job. */
async function run(input: string, model: string): Promise<EncodeRun> {
  const job = await runEncode(input, ['--model', model]);
  expect([job.code, job.said]).toEqual([0, '']);
  return job;
}

let [good, damaged]: Files[] = [];
let bombs: Awaited<ReturnType<typeof bombFiles>> = [];
let [normal, mixed]: EncodeRun[] = [];
const bombName = (at: number): string => `bomb-${String(at).padStart(2, '0')}`;
/** Bombs of every form: the name says nothing of the form, as people's names do. */
const bombFile = (at: number): string => `${bombName(at)}.png`;

beforeAll(async () => {
  good = await goodFiles();
  damaged = mutatedFiles();
  bombs = await bombFiles();
  const model = writeTinyModel();
  const [clean, all] = [newFolder('good'), newFolder('all')];
  for (const [name, bytes] of good) writeFileSync(join(clean, name), bytes);
  mkdirSync(all, { recursive: true });
  cpSync(clean, all, { recursive: true });
  for (const [name, bytes] of damaged) writeFileSync(join(all, name), bytes);
  for (const [at, [bytes]] of bombs.entries()) writeFileSync(join(all, bombFile(at)), bytes);
  normal = await run(clean, model);
  mixed = await run(all, model);
}, 180_000);

test('none is lost, and none is there twice', () => {
  expect(damaged?.size).toBe(MUTATED);
  expect(bombs.length).toBeGreaterThanOrEqual(20);
  expect(normal?.lines).toBe(good?.size);
  expect(mixed?.lines).toBe((good?.size ?? 0) + MUTATED + bombs.length);
  expect((mixed?.results.size ?? 0) + (mixed?.errors.size ?? 0)).toBe(mixed?.lines);
});

test('the good ones have the vectors of a job without the others, to the bit', () => {
  expect(normal?.errors.size).toBe(0);
  for (const [name, { embedding }] of normal?.results ?? [])
    expect(mixed?.results.get(name)?.embedding, name).toBe(embedding);
});

test('each bomb is refused by its own line, by the limit that it breaks, or is the small picture that it shows', () => {
  const found = bombs.map((_, at) => mixed?.errors.get(bombFile(at))?.code ?? null);
  expect(found).toEqual(bombs.map(([, code]) => code));
});

test('each damaged picture has the line of its own fault, or is embedded as far as it can be read', async () => {
  const preprocess = createPreprocess(tinyManifest().image.preprocess);
  let refused = 0;
  for (const [name, bytes] of damaged ?? []) {
    const read = await decode(bytes).catch((error: unknown) => error);
    const [error, result] = [mixed?.errors.get(name), mixed?.results.get(name)];
    if (read instanceof CoreError) {
      refused += 1;
      expect(error, name).toMatchObject({ code: read.code, message: expect.stringContaining(read.message) });
    } else if (read instanceof Error) throw read;
    else {
      const expected = tinyTower(preprocess.toTensor(read as Awaited<ReturnType<typeof decode>>).tensor);
      const vector = result === undefined ? [] : vectorOf(result);
      expect(vector, name).toHaveLength(expected.length);
      for (const [i, value] of vector.entries()) expect(value, name).toBeCloseTo(expected[i] ?? Number.NaN, 5);
    }
    // Neither a header of something else nor impossible sides can be read by anybody.
    if (/-(header|sides)-/.test(name)) expect(error, name).toBeDefined();
  }
  expect(refused).toBeGreaterThan(MUTATED / 2);
  expect(refused).toBeLessThan(MUTATED);
});

test(`the memory is at most ${MEMORY_FACTOR} times that of the job of good ones`, () => {
  const [before, after] = [normal?.peakBytes ?? 0, mixed?.peakBytes ?? 0];
  console.log(`peak RSS ${(before / 2 ** 20).toFixed(0)} MiB, with the bad ones ${(after / 2 ** 20).toFixed(0)} MiB`);
  expect(before).toBeGreaterThan(50 * 2 ** 20);
  expect(after / before).toBeLessThanOrEqual(MEMORY_FACTOR);
});
