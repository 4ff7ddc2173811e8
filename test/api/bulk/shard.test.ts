// A shard of a bulk job: what it leaves, what it refuses item by item, and that it leaves the same bytes whatever befell it.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type BulkItem, itemsOf } from '../../../api/bulk/inputs/items.ts';
import type { BulkEncoder } from '../../../api/bulk/model.ts';
import { openSources } from '../../../api/bulk/places.ts';
import { encodeShard } from '../../../api/bulk/shard.ts';
import { CoreError } from '../../../api/core/errors.ts';
import { placeParts } from '../../../api/core/items/items.ts';
import { decode } from '../../../api/encoder/pixels/decode.ts';
import { createPreprocess } from '../../../api/encoder/pixels/preprocess.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { tinyManifest, tinyTower } from '../../support/tiny-image-model.ts';
import { plainPng, pngThatClaims } from '../encoder/bombs.ts';
import {
  errorsIn,
  IMAGES,
  newFolder,
  openTiny,
  resultsIn,
  runJob,
  undone,
  vectorOf,
  writeImages,
  writeLines,
} from './jobs.ts';

async function* one(part: Uint8Array): AsyncGenerator<Uint8Array> {
  yield part;
}

describe('a shard', () => {
  test('of a prefix embeds every image as the tower does, in the order of the names', async () => {
    const { output, plan, done } = await runJob({ input: { prefix: `file://${IMAGES}` } });
    const names = readdirSync(IMAGES).filter((name) => /\.(jpg|png|webp|gif|avif)$/.test(name));
    expect(plan).toMatchObject({ shards: 1, items: names.length });
    const results = resultsIn(output);
    expect(results.map(({ custom_id }) => custom_id)).toEqual(names.toSorted());
    expect(done[0]).toMatchObject({ succeeded: names.length, failed: 0 });
    const preprocess = createPreprocess(tinyManifest().image.preprocess);
    for (const result of results.slice(0, 6)) {
      const picture = await decode(readFileSync(join(IMAGES, result.custom_id)));
      const expected = tinyTower(preprocess.toTensor(picture).tensor);
      for (const [i, value] of vectorOf(result).entries()) expect(value).toBeCloseTo(expected[i] ?? Number.NaN, 5);
      expect(result).toMatchObject({ width: picture.original.width, height: picture.original.height });
    }
  });

  test('answers for every line, and a bad one spoils no other', async () => {
    const input = newFolder('in');
    for (const name of ['wide.png', 'tall.jpg']) copyFileSync(join(IMAGES, name), join(input, name));
    mkdirSync(join(input, 'folder.png'));
    const data = readFileSync(join(IMAGES, 'wide.png')).toString('base64');
    const jsonl = writeLines(input, [
      { custom_id: 'path', path: 'wide.png' },
      '',
      { custom_id: 'inside', image: data },
      { custom_id: 'data-uri', image: `data:image/png;base64,${data}` },
      { custom_id: 'uri', uri: `file://${input}/tall.jpg` },
      { custom_id: 'no-image', image: 'AAAA' },
      { custom_id: 'gone', path: 'gone.png' },
      { custom_id: 'folder', path: 'folder.png' },
      { custom_id: 'long', path: 'x'.repeat(2000) },
      { custom_id: 'longer-than-names', path: 'x'.repeat(300) },
      { custom_id: 'below-a-file', path: 'tall.jpg/tall.jpg' },
      { custom_id: 'outside', path: '../secret.png' },
      { custom_id: 'absolute', path: '/etc/hostname' },
      { custom_id: 'elsewhere', uri: 's3://somebody/else.png' },
      { custom_id: 'sideways', uri: `file://${input}/../secret.png` },
      { custom_id: 'odd', picture: 'AAAA' },
      { custom_id: 'no-text', text: ' ' },
      { custom_id: 'no-bytes', image: '' },
      { custom_id: 'no-part', content: [{ text: 'a dog' }, { image: '' }] },
      '{"custom_id"',
    ]);
    const { output } = await runJob({ input: { jsonl } });
    const results = resultsIn(output);
    expect(results.map(({ item, custom_id }) => [item, custom_id])).toEqual([
      [0, 'path'],
      [1, 'inside'],
      [2, 'data-uri'],
      [3, 'uri'],
    ]);
    expect(results[1]?.embedding).toBe(results[0]?.embedding);
    expect(results[2]?.embedding).toBe(results[0]?.embedding);
    expect(errorsIn(output).map(({ item, custom_id, code }) => [item, custom_id, code])).toEqual([
      [4, 'no-image', 'not_an_image'],
      [5, 'gone', 'not_found'],
      [6, 'folder', 'not_found'],
      [7, 'long', 'not_found'],
      [8, 'longer-than-names', 'not_found'],
      [9, 'below-a-file', 'not_found'],
      [10, 'outside', 'invalid_request'],
      [11, 'absolute', 'invalid_request'],
      [12, 'elsewhere', 'invalid_request'],
      [13, 'sideways', 'invalid_request'],
      [14, 'odd', 'invalid_request'],
      [15, 'no-text', 'empty_input'],
      [16, 'no-bytes', 'empty_input'],
      [17, 'no-part', 'empty_input'],
      [18, null, 'malformed_json'],
    ]);
    expect(errorsIn(output).find(({ custom_id }) => custom_id === 'odd')?.message).toContain('this one has "picture"');
  });

  test('goes on behind a file that this user may not read, and stops where the store is down', async () => {
    const line = new TextEncoder().encode('{"custom_id":"a","path":"a.png"}\n');
    const failing = (code: string) => ({ find: async () => Promise.reject(Object.assign(new Error(code), { code })) });
    const read = async (code: string) => {
      const found: BulkItem[] = [];
      for await (const item of itemsOf(one(line), { sources: failing(code), hasVideos: false })) found.push(item);
      return found;
    };
    expect(await read('EACCES')).toMatchObject([
      { custom_id: 'a', content: { code: 'not_found', message: expect.stringContaining('may not read') } },
    ]);
    await expect(read('EIO')).rejects.toThrow('EIO');
  });

  test('refuses bombs and damaged files by the limits of the API, and embeds what is good as before', async () => {
    const input = newFolder('bombs');
    await writeImages(input, 10);
    const clean = resultsIn((await runJob({ input: { prefix: `file://${input}` } })).output);
    const bombs = [
      plainPng(4001, 4000),
      pngThatClaims(60_000, 60_000),
      pngThatClaims(70_000, 1),
      Buffer.alloc(LIMITS.image_bytes + 1, 0xff),
      plainPng(16_000, 1001, 0, 1),
    ];
    for (const [i, bytes] of bombs.entries()) writeFileSync(join(input, `bomb-${i}.png`), bytes);
    const source = readFileSync(join(IMAGES, 'tall.jpg'));
    for (let i = 0; i < 20; i++) {
      const damaged = Buffer.from(source);
      // A linear congruential generator: the same bytes in every run.
      let state = i + 1;
      const next = (below: number) => {
        state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
        return state % below;
      };
      for (let flips = 0; flips <= i; flips++) damaged[next(damaged.length)] = next(256);
      writeFileSync(join(input, `damaged-${i}.jpg`), i % 4 === 0 ? damaged.subarray(0, next(damaged.length)) : damaged);
    }
    const { output, done } = await runJob({ input: { prefix: `file://${input}` } });
    const results = resultsIn(output);
    const good = new Map(results.map(({ custom_id, embedding }) => [custom_id, embedding]));
    for (const { custom_id, embedding } of clean) expect(good.get(custom_id)).toBe(embedding);
    const errors = errorsIn(output);
    expect(errors.filter(({ custom_id }) => custom_id?.startsWith('bomb')).map(({ code }) => code)).toEqual([
      'too_many_pixels',
      'too_many_pixels',
      'too_many_pixels',
      'image_too_large',
      'too_many_pixels',
    ]);
    expect(done[0]).toMatchObject({ items: 35, succeeded: results.length, failed: errors.length });
    expect(results.length + errors.length).toBe(35);
    for (const { code } of errors)
      expect(['too_many_pixels', 'image_too_large', 'broken_image', 'not_an_image']).toContain(code);
  });

  test('holds 32 images at a time, in however many items they are', async () => {
    const input = newFolder('in');
    await writeImages(input, 3);
    const images = readdirSync(input).map((name) => ({ image: readFileSync(join(input, name)).toString('base64') }));
    const imageOf = (at: number) => images[at % images.length] ?? { image: '' };
    const parts = [20, 1, 12, 32, 1, 1, 31, ...Array(40).fill(1), 32];
    const lines = parts.map((count, at) => {
      const content = Array.from({ length: count }, (_, part) => imageOf(at + part));
      return { custom_id: `${at}`, ...(count === 1 ? content[0] : { content }) };
    });
    const { job, output } = await runJob({ input: { jsonl: writeLines(input, lines) } });
    const encoder = await openTiny();
    const held: number[] = [];
    const counting: BulkEncoder = {
      ...encoder,
      embed(items, options) {
        held.push(items.flatMap(placeParts).length);
        return encoder.embed(items, options);
      },
    };
    const { folder } = await undone(output);
    await encodeShard({ folder, job, shard: 0, encoder: counting, sources: openSources(job) });
    // 20 and 1; 12; 32; 1 and 1; 31 and 1; of 39 alone 32 and 7; 32.
    expect(held).toEqual([21, 12, 32, 2, 32, 32, 7, 32]);
    expect(resultsIn(output).map(({ custom_id }) => custom_id)).toEqual(lines.map(({ custom_id }) => custom_id));
  });

  test('leaves the same bytes after a stop, and is not done again when it is finished', async () => {
    const input = newFolder('in');
    await writeImages(input, 100);
    const { folder, job, output, done } = await runJob({ input: { prefix: `file://${input}` } });
    const { output: again, folder: other } = await undone(output);
    const { encoder, seen } = await counting();
    const stop = new AbortController();
    const work = { folder: other, job, shard: 0, encoder, sources: openSources(job) };
    expect(await encodeShard({ ...work, signal: stop.signal, onProgress: () => stop.abort() })).toBeUndefined();
    expect(readdirSync(again)).toEqual(['input']);
    const finished = await encodeShard(work);
    expect(finished?.files).toEqual(done[0]?.files);
    const before = seen();
    expect(await encodeShard({ ...work, folder })).toEqual(done[0]);
    expect(seen()).toBe(before);
  });

  test('of a mark that is for another model is done again, and refuses a model of another space', async () => {
    const input = newFolder('in');
    await writeImages(input, 3);
    const { folder, job } = await runJob({ input: { prefix: `file://${input}` } });
    const { encoder } = await counting();
    const other = { ...job, model: { ...job.model, space_id: `sha256:${'c'.repeat(64)}` } };
    const work = { folder, job: other, shard: 0, encoder, sources: openSources(job) };
    await expect(encodeShard(work)).rejects.toThrow('run it with the model that it names');
  });

  test('tries again, alone, what was not decoded in time, and then goes on without it', async () => {
    const input = newFolder('in');
    await writeImages(input, 40);
    const { job, output } = await runJob({ input: { prefix: `file://${input}` } });
    const [once, never] = ['0005.png', '0017.png'] as const;
    const names = new Map(readdirSync(input).map((name) => [readFileSync(join(input, name)).toString('base64'), name]));
    const asked: string[] = [];
    const encoder = await openTiny({
      async decode(file) {
        const name = names.get(Buffer.from(file).toString('base64')) ?? '';
        const isLate = name === never || (name === once && !asked.includes(name));
        asked.push(name);
        if (isLate) throw new CoreError('encoder_timeout', 'decoding the image took too long');
        return decode(file);
      },
    });
    const { output: again, folder: other } = await undone(output);
    const done = await encodeShard({ folder: other, job, shard: 0, encoder, sources: openSources(job) });
    expect([done?.succeeded, done?.failed]).toEqual([39, 1]);
    // A chunk has 32: when all of them were read, these two are, once more.
    expect(asked.filter((name) => name === once || name === never)).toEqual([once, never, once, never]);
    expect(asked.lastIndexOf(once)).toBeGreaterThanOrEqual(32);
    expect(errorsIn(again)).toMatchObject([{ item: 17, custom_id: '0017.png', code: 'encoder_timeout' }]);
    const before = new Map(resultsIn(output).map(({ custom_id, embedding }) => [custom_id, embedding]));
    for (const { custom_id, embedding } of resultsIn(again)) expect(embedding).toBe(before.get(custom_id));
  });

  test('fails as a whole when the tower fails, so that no image is blamed for it', async () => {
    const input = newFolder('in');
    await writeImages(input, 3);
    const { folder, job, output } = await runJob({ input: { prefix: `file://${input}` } });
    const { encoder } = await counting();
    const embed = async (): Promise<never> => {
      throw new CoreError('encoder_error', 'out of memory');
    };
    const { folder: empty } = await undone(output);
    const work = { folder: empty, job, shard: 0, encoder: { ...encoder, embed }, sources: openSources(job) };
    await expect(encodeShard(work)).rejects.toThrow('out of memory');
    expect(await empty.done(0)).toBeUndefined();
    await expect(encodeShard({ ...work, folder, shard: 7 })).rejects.toThrow(/no shard at .*shard-0007.jsonl/);
  });
});

/** The tiny tower, which counts what it was asked. */
async function counting(): Promise<{ encoder: BulkEncoder; seen: () => number }> {
  const encoder = await openTiny();
  let seen = 0;
  const embed: BulkEncoder['embed'] = (items, chosen) => {
    seen += items.length;
    return encoder.embed(items, chosen);
  };
  return { encoder: { ...encoder, embed }, seen: () => seen };
}
