// A bulk job is cut into shards: by items, tars alone, nothing lost, and refused above the limit.
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toUri } from '../../../../api/bulk/hosts/open.ts';
import { openPlace, openSources } from '../../../../api/bulk/places.ts';
import { cutJob, type PlanOptions, planJob } from '../../../../api/bulk/service/plan.ts';
import type { BulkJob, BulkPlan } from '../../../../contracts/src/bulk/job.ts';
import type { VideoSampling } from '../../../../contracts/src/bulk/video.ts';
import { ownMachine } from '../../../../contracts/src/cloud/bulk-estimate.ts';
import { errorsIn, newFolder, resultsIn, runJob, writeImages, writeLines } from '../jobs.ts';

/** Plans a job that is not run, and writes nothing. */
async function planOf(change: Partial<BulkJob>, options: Partial<PlanOptions> = {}): Promise<BulkPlan> {
  const { folder, job } = await runJob({
    input: { jsonl: writeLines(newFolder('one'), [{ custom_id: '1', text: ' ' }]) },
  });
  const unplanned = { ...folder, plan: async () => undefined, put: async () => true };
  return planJob(unplanned, { ...job, ...change }, { open: openPlace, machines: { cpu: ownMachine(1) }, ...options });
}

const estimateOf = async (jsonl: string, change: Partial<BulkJob> = {}) =>
  (await planOf({ input: { jsonl }, ...change })).estimate;

describe('a plan', () => {
  test('cuts every so many items, keeps their order, and skips what is no image', async () => {
    const input = newFolder('in');
    await writeImages(input, 25);
    for (const name of ['notes.txt', '.hidden.png', '._0001.png']) writeFileSync(join(input, name), 'x');
    const { output, plan } = await runJob({ input: { prefix: `file://${input}` } }, { shardItems: 10 });
    expect(plan).toMatchObject({ shards: 3, items: 25, skipped: 3 });
    const sizes = readdirSync(join(output, 'input')).map(
      (name) =>
        readFileSync(join(output, 'input', name), 'utf8')
          .trim()
          .split('\n').length,
    );
    expect(sizes).toEqual([10, 10, 5]);
    const names = resultsIn(output).map(({ custom_id }) => custom_id);
    expect(names).toEqual(readdirSync(input).filter((name) => /^\d+\.png$/.test(name)));
  });

  test('gives a tar a shard of its own, whose items it does not count', async () => {
    const input = newFolder('in');
    writeFileSync(join(input, 'a.tar'), '');
    const jsonl = writeLines(input, [
      { custom_id: '1', text: ' ' },
      { custom_id: '2', tar: 'a.tar' },
      { custom_id: '3', tar: 'a.tar' },
      { custom_id: '4', text: ' ' },
    ]);
    const { plan } = await runJob({ input: { jsonl } });
    expect(plan).toMatchObject({ shards: 4, items: null, estimate: null });
  });

  test('names tars of one name by as much of their folders as tells them apart, and others by their files', async () => {
    const namesOf = async (tars: string[]): Promise<string[]> => {
      const names: string[] = [];
      const job = { input: { tars }, output: { formats: [], type: 'float32' as const, dimensions: 8 }, video: null };
      await cutJob(job, { open: openPlace, machines: { cpu: ownMachine(1) } }, async (_shard, lines) => {
        for (const line of lines) names.push(JSON.parse(Buffer.from(line).toString()).custom_id);
      });
      return names;
    };
    expect(await namesOf(['s3://x/b/2.tar', 's3://x/a/images.tar', 'file:///1.tar', 's3://x/b/images.tar'])).toEqual([
      '2',
      'a/images',
      '1',
      'b/images',
    ]);
    const [far, near] = [['s3://x/a/c/i.tar', 's3://x/b/c/i.tar'], 's3://x/d/i.tar'];
    expect(await namesOf([...far, near])).toEqual(['a/c/i', 'b/c/i', 'd/i']);
    expect(await namesOf(['s3://x/i.tar', 'r2://x/i.tar'])).toEqual(['s3://x/i', 'r2://x/i']);
    expect(await namesOf(['s3://x/i.tar', 's3://x/i', 's3://x/j.tar', 's3://x/j.tar'])).toEqual([
      's3://x/i.tar',
      's3://x/i',
      'j',
      'j',
    ]);
    // At a time that grows with the square of what they have in common, these would take an hour.
    const deep = `${'/'.repeat(200_000)}i`;
    const names = await namesOf([`s3://x/a${deep}.tar`, `s3://x/b${deep}.tar`]);
    expect(names.map((name) => name === `a${deep}` || name === `b${deep}`)).toEqual([true, true]);
  });

  test('fills shards with videos by the frames that they may have, and leaves them out where the job does not read them', async () => {
    const input = newFolder('in');
    await writeImages(input, 3);
    for (const name of ['a.mp4', 'b.MOV', 'c.webm', '.d.mp4', 'e.ts']) writeFileSync(join(input, name), '');
    const prefix = { prefix: `file://${input}` };
    const shardsOf = async (frames: VideoSampling['frames']) =>
      planOf({ input: prefix, video: { frames, segment_seconds: 10 } }, { shardItems: 20 });
    // 0000.png … 0002.png, a.mp4, b.MOV | c.webm
    expect(await shardsOf({ count: 8 })).toMatchObject({ shards: 2, items: null, skipped: 2, estimate: null });
    expect(await shardsOf({ per_second: 1, most: 3600 })).toMatchObject({ shards: 4, items: null });
    expect(await planOf({ input: prefix })).toMatchObject({ shards: 1, items: 3, skipped: 5 });
  });

  test('fills shards with requests of a batch by their inputs, and gives a longer one a shard of its own', async () => {
    const output = { endpoint: '/v1/embeddings', metadata: null, file: 'file_0' } as const;
    const shardsOf = async (inputs: (number | string)[]) => {
      const lines = inputs.map((count, at) => {
        const input = typeof count === 'string' ? count : new Array<string>(count).fill('a');
        return { custom_id: `${at}`, method: 'POST', url: '/v1/embeddings', body: { input } };
      });
      return planOf({ input: { jsonl: writeLines(newFolder('requests'), lines) }, output });
    };
    expect(await shardsOf(new Array(41).fill(2048))).toMatchObject({ shards: 41, items: 41 });
    // 500, 500, 'a', 23 | 1 | 1025 | 0, 1023 | 2049, which is refused, and 1023
    expect(await shardsOf([500, 500, 'a', 23, 1, 1025, 0, 1023, 2049, 1023])).toMatchObject({ shards: 5, items: 10 });
    expect(await shardsOf(new Array(1024).fill('a'))).toMatchObject({ shards: 1 });
    expect(await shardsOf(new Array(1025).fill('a'))).toMatchObject({ shards: 2 });
  });

  test('stays as it is: the input may change after it was made', async () => {
    const input = newFolder('in');
    await writeImages(input, 3);
    const { folder, job, plan } = await runJob({ input: { prefix: `file://${input}` } });
    await writeImages(input, 9);
    expect(await planJob(folder, job, { open: openPlace, machines: { cpu: ownMachine(1) } })).toEqual(plan);
  });

  test('counts images and about the tokens of texts, of lines in every form, and says what they take', async () => {
    const input = newFolder('in');
    await writeImages(input, 2);
    const jsonl = writeLines(input, [
      { custom_id: '1', path: '0000.png' },
      { custom_id: '2', path: '0001.png' },
      { custom_id: '3', image: 'AAAA' },
      // 10 characters are two and a half tokens; of a long text no more is read than 512.
      { custom_id: '4', text: 'x'.repeat(10) },
      { custom_id: '5', text: 'x'.repeat(40_000) },
      '{"custom_id',
      { custom_id: '6', picture: 'AAAA' },
    ]);
    const tokens = 3 + 512;
    const seconds = 3 / 50.2 + (tokens * 0.142) / 256;
    expect(await estimateOf(jsonl)).toEqual({
      images: 3,
      tokens,
      hours: expect.closeTo(seconds / 3600, 12),
      usd: null,
    });
    // Lines of a batch are requests, with a text, texts or pictures in them.
    const requests = writeLines(newFolder('requests'), [
      { custom_id: '1', method: 'POST', url: '/v1/embeddings', body: { input: 'abcd' } },
      { custom_id: '2', method: 'POST', url: '/v1/embeddings', body: { input: ['abcd', { image: 'AAAA' }] } },
    ]);
    const output = { endpoint: '/v1/embeddings', metadata: null, file: 'file_0' } as const;
    expect(await estimateOf(requests, { output })).toMatchObject({ images: 1, tokens: 2 });
    // Of a part of an item is the deepest text; a line may be nested as deep as it is long.
    const nested = `{"input":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    const deep = writeLines(newFolder('deep'), [
      { body: { input: [{ content: [{ text: 'abcd' }, { image_url: 'AAAA' }] }] } },
      nested,
    ]);
    expect(await estimateOf(deep, { output })).toMatchObject({ images: 1, tokens: 1 });
  });

  test('refuses what holds nothing, and more than an array job can address', async () => {
    const input = newFolder('in');
    writeFileSync(join(input, 'notes.txt'), 'x');
    await expect(runJob({ input: { prefix: `file://${input}` } })).rejects.toThrow('nothing to embed (1 other files)');
    const jsonl = writeLines(
      input,
      Array.from({ length: 10_001 }, (_, i) => ({ custom_id: `${i}`, text: 'a' })),
    );
    const planning = planOf({ input: { jsonl } }, { shardItems: 1 });
    await expect(planning).rejects.toThrow('more than 10,000 shards');
    await expect(runJob({ input: { jsonl: `file://${input}/gone.jsonl` } })).rejects.toThrow('there is no file');
    const reads = { files: 0, bytes: 9 };
    const few = (input: BulkJob['input']) => planOf({ input }, { reads });
    await expect(few({ prefix: `file://${input}` })).rejects.toThrow('holds more than 0 files');
    await expect(few({ jsonl })).rejects.toThrow('beyond 9 bytes');
  });

  test('has links that lead nowhere and names that are not UTF-8 as items that fail, and counts links to folders', async () => {
    const [folder, elsewhere] = [newFolder('in'), newFolder('elsewhere')];
    await writeImages(folder, 1);
    mkdirSync(join(elsewhere, 'album'));
    await writeImages(join(elsewhere, 'album'), 1);
    symlinkSync(join(elsewhere, 'album'), join(folder, 'album'));
    symlinkSync(join(elsewhere, 'album', '0000.png'), join(folder, 'linked.png'));
    symlinkSync('nowhere.png', join(folder, 'gone.png'));
    // "caf\u00e9.png" in ISO 8859-1, as archives of older systems leave it.
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9]), Buffer.from('.png')]), 'a picture');

    const { output, plan } = await runJob({ input: { prefix: `file://${folder}` } });
    expect(resultsIn(output).map(({ custom_id }) => custom_id)).toEqual(['0000.png', 'linked.png']);
    expect(errorsIn(output).map(({ custom_id, code, message }) => [custom_id, code, message])).toEqual([
      ['caf\ufffd.png', 'not_found', expect.stringContaining('its name is not UTF-8: rename the file')],
      ['gone.png', 'not_found', expect.stringContaining('a link that leads nowhere')],
    ]);
    expect(plan).toMatchObject({ items: 4, skipped: 1 });
  });
});

describe('an input in the root folder', () => {
  /** A file that is there, by its path from the root. */
  const HERE = import.meta.filename.slice(1);
  const sizeOf = (path: string) => readFileSync(path).length;

  test('is looked for there, and not where the command stands', async () => {
    const opened: [string, string][] = [];
    const open: PlanOptions['open'] = (place) => {
      return {
        list: openPlace(place).list,
        // As if it lay there: nobody writes to the root for a test.
        async get(key) {
          opened.push([place, key]);
          return openPlace(place).get(HERE);
        },
      };
    };
    const output: BulkJob['output'] = { formats: ['jsonl'], type: 'float32', dimensions: 8 };
    const asked = { input: { jsonl: toUri('/lines.jsonl') }, video: null, output };
    const { items } = await cutJob(asked, { open, machines: { cpu: ownMachine(1) } });
    expect(opened).toEqual([['file:///', 'lines.jsonl']]);
    expect(items).toBeGreaterThan(100);
  });

  test('may name what lies below it, by path and by URI, and tars are found beside each other', async () => {
    const uri = toUri(import.meta.filename);
    for (const input of [{ jsonl: 'file:///lines.jsonl' }, { tars: ['file:///a.tar'] }, { prefix: toUri('/') }])
      expect(await openSources({ input, sources: [] }).find(uri)).toMatchObject({ size: sizeOf(import.meta.filename) });
    const byLines = openSources({ input: { jsonl: 'file:///lines.jsonl' }, sources: [] });
    expect(await byLines.find(HERE)).toMatchObject({ path: import.meta.filename });
    await expect(byLines.find('package.json')).rejects.toThrow('There is no package.json below file:///');
  });

  test.each(['/', 'file:///', 'file://'])('is the root as %s', async (written) => {
    expect(toUri(written)).toBe('file:///');
    const store = openPlace(written === '/' ? toUri(written) : written);
    expect((await store.get(HERE))?.path).toBe(import.meta.filename);
    expect(await openPlace(store.uri).get(HERE)).toBeDefined();
  });
});
