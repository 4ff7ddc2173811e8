// Videos among the items of a shard: their numbers, what they are refused for, what a stop leaves, and files that lie elsewhere.
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSources } from '../../../api/bulk/places.ts';
import { encodeShard } from '../../../api/bulk/shard.ts';
import type { VideoSampling } from '../../../contracts/src/bulk/video.ts';
import { HAS_FFMPEG, makeColours, makeMoving } from '../../support/videos.ts';
import { errorsIn, IMAGES, newFolder, openTiny, PROGRAMS, resultsIn, runJob, undone, writeLines } from './jobs.ts';

const VIDEO: VideoSampling = { frames: { per_second: 1, most: 60 }, segment_seconds: 2 };

/** The same shard, to be done again in another folder. */
async function again(job: Awaited<ReturnType<typeof runJob>>) {
  const { output, folder } = await undone(job.output);
  const work = { job: job.job, folder, shard: 0, encoder: await openTiny(), sources: openSources(job.job) };
  return { output, work };
}

describe.skipIf(!HAS_FFMPEG)('videos in a shard (needs ffmpeg)', () => {
  test('have as many items as vectors, and what is behind them is numbered from there', async () => {
    const input = newFolder('in');
    makeColours(join(input, 'colours.mp4'));
    copyFileSync(join(IMAGES, 'wide.png'), join(input, 'wide.png'));
    const jsonl = writeLines(input, [
      { custom_id: 'before', path: 'wide.png' },
      { custom_id: 'a', video: 'colours.mp4' },
      { custom_id: 'gone', video: 'gone.mp4' },
      { custom_id: 'b', video: `file://${input}/colours.mp4` },
      { custom_id: 'outside', video: '../colours.mp4' },
      { custom_id: 'no-image', image: 'AAAA' },
      { custom_id: 'behind', path: 'wide.png' },
    ]);
    const { output, plan, done } = await runJob({ input: { jsonl }, video: { ...VIDEO, frames: { count: 5 } } });
    expect(plan).toMatchObject({ shards: 1, items: null, estimate: null });
    expect(done[0]).toMatchObject({ items: 13, succeeded: 10, failed: 3 });
    const results = resultsIn(output);
    expect(results.map(({ item, custom_id }) => [item, custom_id])).toEqual([
      [0, 'before'],
      [1, 'a#t=0,2'],
      [2, 'a#t=2,4'],
      [3, 'a#t=4,5'],
      [4, 'a'],
      [6, 'b#t=0,2'],
      [7, 'b#t=2,4'],
      [8, 'b#t=4,5'],
      [9, 'b'],
      [12, 'behind'],
    ]);
    expect(errorsIn(output).map(({ item, custom_id, code }) => [item, custom_id, code])).toEqual([
      [5, 'gone', 'not_found'],
      [10, 'outside', 'invalid_request'],
      [11, 'no-image', 'not_an_image'],
    ]);
    expect(errorsIn(output)[2]?.message).toMatch(/^Image 11: /);
    expect(results[9]?.embedding).toBe(results[0]?.embedding);
    expect(results.slice(5, 9).map(({ embedding }) => embedding)).toEqual(
      results.slice(1, 5).map(({ embedding }) => embedding),
    );
  });

  test('of a store that is no folder are copied, and the copy is removed', async () => {
    const input = newFolder('in');
    makeColours(join(input, 'colours.mp4'));
    const job = await runJob({ input: { prefix: `file://${input}` }, video: VIDEO });
    const { output, work } = await again(job);
    const sources = {
      async find(name: string) {
        const { path: _, ...elsewhere } = await openSources(job.job).find(name);
        return elsewhere;
      },
    };
    const copies = () => readdirSync(tmpdir()).filter((name) => name.startsWith('edge-clip-video-'));
    const before = copies();
    expect(await encodeShard({ ...work, sources, programs: PROGRAMS })).toMatchObject({
      failed: 0,
      files: job.done[0]?.files,
    });
    expect(resultsIn(output)).toHaveLength(4);
    expect(copies()).toEqual(before);
  });

  test('of a tar are items of it, and one that the tar is cut off in has the tar to blame', async () => {
    const input = newFolder('in');
    makeColours(join(input, 'colours.mp4'));
    copyFileSync(join(IMAGES, 'wide.png'), join(input, 'wide.png'));
    const embeddings = (output: string) => resultsIn(output).map(({ embedding }) => embedding);
    const byFolder = await runJob({ input: { prefix: `file://${input}` }, video: VIDEO });
    for (const name of ['set.tar', 'cut.tar'])
      execFileSync('tar', ['-cf', name, 'colours.mp4', 'wide.png'], { cwd: input });
    const tarOf = (name: string) => ({ tars: [`file://${input}/${name}.tar`] });
    const byTar = await runJob({ input: tarOf('set'), video: VIDEO });
    expect(resultsIn(byTar.output).map(({ custom_id }) => custom_id)).toEqual([
      'set/colours.mp4#t=0,2',
      'set/colours.mp4#t=2,4',
      'set/colours.mp4#t=4,5',
      'set/colours.mp4',
      'set/wide.png',
    ]);
    expect(embeddings(byTar.output)).toEqual(embeddings(byFolder.output));
    const images = await runJob({ input: tarOf('set') });
    expect(resultsIn(images.output).map(({ custom_id }) => custom_id)).toEqual(['set/wide.png']);
    truncateSync(join(input, 'cut.tar'), 2048);
    const cut = await runJob({ input: tarOf('cut'), video: VIDEO });
    expect(errorsIn(cut.output).map(({ custom_id, code }) => [custom_id, code])).toEqual([
      ['cut/colours.mp4', 'broken_image'],
      ['cut', 'broken_image'],
    ]);
  });

  test('are left as they were by a stop in the middle of one, and then done again to the same bytes', async () => {
    const input = newFolder('in');
    // A frame a second shown sixty times a second: long to embed and short to make.
    makeMoving(join(input, 'long.mp4'), { seconds: 10, rate: 1 });
    const video: VideoSampling = { frames: { per_second: 60, most: 3600 }, segment_seconds: 10 };
    const job = await runJob({ input: { prefix: `file://${input}` }, video });
    const { output, work } = await again(job);
    const stop = new AbortController();
    let frames = 0;
    const encoder = {
      ...work.encoder,
      async *embedPictures(...asked: Parameters<typeof work.encoder.embedPictures>) {
        for await (const vector of work.encoder.embedPictures(...asked)) {
          frames += 1;
          if (frames === 100) stop.abort();
          yield vector;
        }
      },
    };
    expect(await encodeShard({ ...work, encoder, programs: PROGRAMS, signal: stop.signal })).toBeUndefined();
    expect(frames).toBeLessThan(600);
    expect(readdirSync(output)).toEqual(['input']);
    expect((await encodeShard({ ...work, programs: PROGRAMS }))?.files).toEqual(job.done[0]?.files);
  });
});

test('a video is refused by its line where the job does not say how, and where nothing is installed that reads it', async () => {
  const input = newFolder('in');
  copyFileSync(join(IMAGES, 'wide.png'), join(input, 'video.mp4'));
  copyFileSync(join(IMAGES, 'wide.png'), join(input, 'wide.png'));
  const jsonl = writeLines(input, [
    { custom_id: 'video', video: 'video.mp4' },
    { custom_id: 'image', path: 'wide.png' },
  ]);
  const unsaid = await runJob({ input: { jsonl } });
  expect(errorsIn(unsaid.output)).toMatchObject([
    { item: 0, custom_id: 'video', code: 'invalid_request', message: expect.stringContaining('--video') },
  ]);
  const { output, work } = await again(unsaid);
  const job = { ...work.job, video: VIDEO };
  await encodeShard({ ...work, job, programs: { path: newFolder('nothing'), threads: 1 } });
  expect(errorsIn(output)).toMatchObject([
    { item: 0, code: 'not_configured', message: expect.stringContaining('apt-get install ffmpeg') },
  ]);
  expect(resultsIn(output)).toMatchObject([{ item: 1, custom_id: 'image' }]);
});
