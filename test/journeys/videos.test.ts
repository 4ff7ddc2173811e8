// Videos in a job of `npm run encode`: the vectors are those of their frames as PNG files, bad ones are lines of errors, nothing else is opened.
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EncodeRun, runEncode } from '../api/bulk/encode-run.ts';
import { newFolder, writeLines, writeTinyModel } from '../api/bulk/jobs.ts';
import { ffmpeg, H264, HAS_FFMPEG, makeColours, makeMoving, writeFrames } from '../support/videos.ts';

let model = '';
const run = (input: string, words: string[] = [], env = process.env): Promise<EncodeRun> =>
  runEncode(input, ['--model', model, ...words], env);

/** What `content` of a line makes of PNG files: the mean of the vectors of the pictures, at unit length. */
async function meansOf(folder: string, groups: Record<string, number[]>): Promise<Map<string, string>> {
  const image = (number: number): string =>
    readFileSync(join(folder, `${String(number).padStart(4, '0')}.png`)).toString('base64');
  const lines = Object.entries(groups).map(([custom_id, numbers]) => ({
    custom_id,
    content: numbers.map((number) => ({ image: image(number) })),
  }));
  const { results } = await run(writeLines(newFolder('lines'), lines).replace('file://', ''));
  return new Map([...results].map(([name, { embedding }]) => [name, embedding]));
}

const embeddingsOf = ({ results }: EncodeRun): Map<string, string> =>
  new Map([...results].map(([name, { embedding }]) => [name, embedding]));

beforeAll(() => {
  model = writeTinyModel();
});

describe.skipIf(!HAS_FFMPEG)('a folder with videos (needs ffmpeg)', () => {
  test('gives a vector for each segment and for each video, to the bit that of the frames as PNG files', async () => {
    const [input, frames] = [newFolder('videos'), newFolder('frames')];
    const file = join(input, 'colours.mp4');
    makeColours(file);
    writeFrames(file, frames, [0, 25, 50, 75, 100]);
    copyFileSync(join(frames, '0001.png'), join(input, 'red.png'));
    const job = await run(input, ['--video', '--segment-seconds', '2']);
    expect(job.errors.size).toBe(0);
    const spans = [...job.results].map(([name, { modality, video }]) => [name, modality, video]);
    const span = (start_seconds: number, end_seconds: number, count: number) => ({
      start_seconds,
      end_seconds,
      frames: count,
    });
    expect(spans).toEqual([
      ['colours.mp4#t=0,2', 'video', span(0, 2, 2)],
      ['colours.mp4#t=2,4', 'video', span(2, 4, 2)],
      ['colours.mp4#t=4,5', 'video', span(4, 5, 1)],
      ['colours.mp4', 'video', span(0, 5, 5)],
      ['red.png', 'image', undefined],
    ]);
    expect(job.results.get('colours.mp4')).toMatchObject({ width: 64, height: 48 });
    const expected = await meansOf(frames, {
      'colours.mp4#t=0,2': [1, 2],
      'colours.mp4#t=2,4': [3, 4],
      'colours.mp4#t=4,5': [5],
      'colours.mp4': [1, 2, 3, 4, 5],
      'red.png': [1],
    });
    expect(embeddingsOf(job)).toEqual(expected);
    // The colours change at 2 s and at 4 s: that is where the vectors do.
    expect(new Set(embeddingsOf(job).values()).size).toBe(4);
    expect(job.results.get('colours.mp4#t=0,2')?.embedding).toBe(job.results.get('red.png')?.embedding);
  });

  test('takes as many frames of every video, each from the middle of its part', async () => {
    const [input, frames] = [newFolder('videos'), newFolder('frames')];
    const file = join(input, 'moving.mkv');
    makeMoving(file);
    // The middles of fifths of five seconds, at 25 frames a second.
    writeFrames(file, frames, [12, 37, 62, 87, 112]);
    const job = await run(input, ['--video', '--frames', '5', '--segment-seconds', '3']);
    const expected = await meansOf(frames, {
      'moving.mkv#t=0,3': [1, 2, 3],
      'moving.mkv#t=3,5': [4, 5],
      'moving.mkv': [1, 2, 3, 4, 5],
    });
    expect(embeddingsOf(job)).toEqual(expected);
  });

  test('shows a frame as long as its file does, and turns it as the file says', async () => {
    const [input, source, frames] = [newFolder('videos'), newFolder('source'), newFolder('frames')];
    makeColours(join(source, 'colours.mp4'));
    // Frames at 0, 2.4 and 4.4 s: of a recording of a screen, only what changes.
    const kept = "select='eq(n,0)+eq(n,60)+eq(n,110)'";
    ffmpeg('-i', join(source, 'colours.mp4'), '-vf', kept, '-fps_mode', 'vfr', ...H264, join(input, 'screen.mp4'));
    makeMoving(join(source, 'moving.mp4'), { seconds: 1 });
    const turned = join(input, 'turned.mp4');
    ffmpeg('-i', join(source, 'moving.mp4'), '-c', 'copy', '-metadata:s:v', 'rotate=90', turned);
    writeFrames(turned, frames, [0]);
    const job = await run(input, ['--video', '--segment-seconds', '1']);
    const at = (second: number) => job.results.get(`screen.mp4#t=${second},${second + 1}`)?.embedding;
    expect([at(1), at(2)]).toEqual([at(0), at(0)]);
    expect(at(3)).not.toBe(at(0));
    expect(job.results.get('turned.mp4')).toMatchObject({ width: 120, height: 160 });
    expect(job.results.get('turned.mp4')?.embedding).toBe((await meansOf(frames, { turned: [1] })).get('turned'));
  });

  test('holds one frame at a time: the memory is that of a short video', async () => {
    const peaks: number[] = [];
    for (const seconds of [2, 60]) {
      const input = newFolder('videos');
      makeMoving(join(input, 'moving.mp4'), { seconds, rate: 5, size: '640x360' });
      const { code, results, peakBytes } = await run(input, [
        '--video',
        '--frames-per-second',
        '5',
        '--segment-seconds',
        '60',
      ]);
      expect([code, results.get('moving.mp4')?.video?.frames]).toEqual([0, seconds * 5]);
      peaks.push(peakBytes);
    }
    const [short = 0, long = 0] = peaks;
    expect(short).toBeGreaterThan(50 * 2 ** 20);
    expect(long / short).toBeLessThanOrEqual(1.3);
  });
});

describe.skipIf(!HAS_FFMPEG)('videos that are no good (needs ffmpeg)', () => {
  let server: Server;
  let asked = 0;
  let job: EncodeRun;
  let good: EncodeRun;
  let lists: EncodeRun;

  beforeAll(async () => {
    server = createServer((_request, response) => {
      asked += 1;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.ts`;
    const [alone, input] = [newFolder('good'), newFolder('bad')];
    makeColours(join(alone, 'good.mp4'));
    good = await run(alone, ['--video']);
    const source = join(alone, 'good.mp4');
    const file = (name: string): string => join(input, name);
    copyFileSync(source, file('good.mp4'));
    copyFileSync(source, file('without-index.mp4'));
    truncateSync(file('without-index.mp4'), 2000);
    ffmpeg('-i', source, '-c', 'copy', file('cut.mkv'));
    truncateSync(file('cut.mkv'), 3000);
    ffmpeg('-i', source, '-c', 'copy', file('lies.mkv'));
    const lies = readFileSync(file('lies.mkv'));
    // Element Duration (RFC 9559, 5.1.2.10), a double of eight bytes, in milliseconds: ten hours.
    lies.writeDoubleBE(36e6, lies.indexOf(Buffer.from([0x44, 0x89, 0x88])) + 3);
    writeFileSync(file('lies.mkv'), lies);
    ffmpeg('-f', 'lavfi', '-i', 'sine=d=1', '-c:a', 'aac', file('sound.mp4'));
    ffmpeg('-f', 'lavfi', '-i', 'color=red:s=32x32', '-frames:v', '1', join(alone, 'cover.png'));
    ffmpeg(
      ...['-i', file('sound.mp4'), '-i', join(alone, 'cover.png'), '-map', '0', '-map', '1', '-c', 'copy'],
      ...['-disposition:v:0', 'attached_pic', file('cover.m4v')],
    );
    ffmpeg('-f', 'lavfi', '-i', 'color=red:s=8192x4096:r=1:d=1', ...H264, '-preset', 'ultrafast', file('huge.mp4'));
    makeMoving(file('long.mkv'), { seconds: 40, rate: 1, size: '32x32' });
    copyFileSync(join(alone, 'cover.png'), file('picture.mkv'));
    writeFileSync(file('empty.mkv'), '');
    writeFileSync(file('text.mkv'), 'hello there, no video');
    const listing = (name: string): string => `#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n${name}\n#EXT-X-ENDLIST\n`;
    writeFileSync(file('playlist.mkv'), listing(url));
    // ffmpeg by itself opens what these two name.
    ffmpeg('-i', source, '-c', 'copy', file('good.ts'));
    writeFileSync(file('playlist.m3u8'), listing('good.ts'));
    writeFileSync(file('concatenation.mkv'), 'ffconcat version 1.0\nfile good.mp4\n');
    mkdirSync(file('folder.mp4'));
    job = await run(input, ['--video', '--max-frames', '30']);
    const lines = ['playlist.m3u8', 'concatenation.mkv'].map((video) => ({ custom_id: video, video }));
    lists = await run(writeLines(input, lines).replace('file://', ''), ['--video']);
  });
  afterAll(() => server.close());

  test('are lines of errors, each with what is wrong with it', () => {
    expect(job).toMatchObject({ code: 0, said: '' });
    expect(Object.fromEntries([...job.errors].map(([name, { code }]) => [name, code]))).toEqual({
      'without-index.mp4': 'broken_image',
      'sound.mp4': 'unsupported_image_type',
      'cover.m4v': 'unsupported_image_type',
      'huge.mp4': 'too_many_pixels',
      'long.mkv': 'too_many_items',
      'picture.mkv': 'unsupported_image_type',
      'empty.mkv': 'unsupported_image_type',
      'text.mkv': 'unsupported_image_type',
      'playlist.mkv': 'unsupported_image_type',
      'concatenation.mkv': 'unsupported_image_type',
    });
    expect(job.errors.get('long.mkv')?.message).toContain(
      'would have 40 frames or more, and the job takes 30 of a video',
    );
    const messages = [...job.errors.values()].map(({ message }) => message).join('\n');
    expect(messages).not.toMatch(/0x[0-9a-f]+|\/tmp/);
  });

  test('spoil no other, and one that is cut off is read as far as it goes, with a warning', () => {
    const { embedding } = good.results.get('good.mp4') ?? {};
    expect(job.results.get('good.mp4')?.embedding).toBe(embedding);
    expect(job.results.get('cut.mkv')).toMatchObject({ warnings: ['The video is cut off: its end is missing.'] });
    expect(job.results.get('cut.mkv')?.video?.frames).toBeLessThan(5);
  });

  test('that say a length that they do not have are as long as they are', () => {
    const { embedding, video } = good.results.get('good.mp4') ?? {};
    expect(job.results.get('lies.mkv')).toMatchObject({ embedding, video });
  });

  test('open no address and no other file', () => {
    expect(asked).toBe(0);
    const codes = [...lists.errors].map(([name, { code }]) => [name, code]);
    expect(Object.fromEntries(codes)).toEqual({
      'playlist.m3u8': 'unsupported_image_type',
      'concatenation.mkv': 'unsupported_image_type',
    });
    expect(lists.results.size).toBe(0);
  });
});

test('without ffmpeg a job of videos is refused before it begins, and says what to install', async () => {
  const input = newFolder('videos');
  writeFileSync(join(input, 'video.mp4'), '');
  const { code, said } = await run(input, ['--video'], { ...process.env, PATH: newFolder('nothing') });
  expect([code, said]).toEqual([2, expect.stringContaining('apt-get install ffmpeg')]);
});

test('options of videos are refused without --video, and where they make no sense', async () => {
  const input = newFolder('videos');
  writeFileSync(join(input, 'video.mp4'), '');
  const refused = async (...words: string[]): Promise<string> => {
    const { code, said } = await run(input, words);
    expect(code).toBe(2);
    return said;
  };
  expect(await refused()).toContain('1 other files, 1 of them videos, which a job reads that has `video` (--video)');
  expect(await refused('--max-frames', '10')).toContain('--max-frames is for videos');
  expect(await refused('--video', '--frames', '8', '--frames-per-second', '2')).toContain(
    'leave out --frames-per-second',
  );
  expect(await refused('--video', '--frames-per-second', '100')).toContain('from 0.01 to 60');
  expect(await refused('--video', '--frames', '0.5')).toContain('a whole number from 1 to 10000');
});
