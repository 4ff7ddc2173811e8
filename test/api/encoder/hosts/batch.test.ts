// A shard of a bulk job: what it writes, how it goes on after a stop, and what it refuses to read.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Encode } from '../../../../api/encoder/encode.ts';
import { encodeShard } from '../../../../api/encoder/shard.ts';
import { BulkDone, BulkError, BulkResult } from '../../../../contracts/src/api/bulk.ts';
import { encodedImage, refusedImage } from '../../../support/encode-results.ts';
import { writeTinyImageModel } from '../../../support/tiny-image-model.ts';

const BATCH = fileURLToPath(new URL('../../../../api/encoder/hosts/batch.ts', import.meta.url));
const images = new URL('../../../../contracts/vectors/preprocess/images/', import.meta.url);
const space_id = `sha256:${'a'.repeat(64)}`;
let [input, output] = ['', ''];
beforeEach(() => {
  input = mkdtempSync(join(tmpdir(), 'bulk-in-'));
  output = mkdtempSync(join(tmpdir(), 'bulk-out-'));
});

const writeLines = (lines: (object | string)[], shard = '0000') =>
  writeFileSync(
    join(input, `shard-${shard}.jsonl`),
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
  );
const readLines = <T>(name: string, schema: { parse(document: unknown): T }): T[] =>
  readFileSync(join(output, name), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => schema.parse(JSON.parse(line)));

/** Says yes to every image and counts what it was asked. */
function counting(): { encode: Encode; seen: () => number } {
  let seen = 0;
  const encode: Encode = async (files) => {
    seen += files.length;
    return files.map(({ length }) => encodedImage('AAAA', { width: length, height: 1 }));
  };
  return { encode, seen: () => seen };
}
const hundred = Array.from({ length: 100 }, (_, i) => ({
  custom_id: `c${i}`,
  image: Buffer.alloc(i + 1).toString('base64'),
}));

describe('a shard', () => {
  test('is encoded by the command, the done file last, and doing it again does nothing', async () => {
    const names = readdirSync(images);
    for (const name of names) writeFileSync(join(input, name), readFileSync(new URL(name, images)));
    const data = readFileSync(new URL('wide.png', images)).toString('base64');
    const good = names.map((name) => ({ custom_id: name, path: name }));
    const bad = [
      { custom_id: 'text', image: 'AAAA' },
      { custom_id: 'gone', path: 'gone.png' },
      { custom_id: 'outside', path: '../secret.png' },
      { custom_id: 'odd', picture: 'AAAA' },
      '{"custom_id"',
    ];
    writeLines([...good, '', ...bad, { custom_id: 'uri', image: `data:image/png;base64,${data}` }], '0007');
    const { folder } = writeTinyImageModel();
    const arguments_ = [BATCH, pathToFileURL(input).href, output, '--model', folder];
    const run = () => runToEnd(arguments_, { AWS_BATCH_JOB_ARRAY_INDEX: '7' });
    const first = await run();
    expect(first.code).toBe(0);
    expect(readdirSync(output).toSorted()).toEqual(['errors-0007.jsonl', 'part-0007.done.json', 'part-0007.jsonl']);
    const results = readLines('part-0007.jsonl', BulkResult);
    expect(results.map(({ custom_id }) => custom_id)).toEqual([...names, 'uri']);
    expect(results.at(-1)?.embedding).toBe(results.find(({ custom_id }) => custom_id === 'wide.png')?.embedding);
    const errors = readLines('errors-0007.jsonl', BulkError);
    expect(errors.map(({ line, custom_id, code }) => [line - names.length, custom_id, code])).toEqual([
      [1, 'text', 'not_an_image'],
      [2, 'gone', 'not_found'],
      [3, 'outside', 'invalid_request'],
      [4, null, 'invalid_request'],
      [5, null, 'malformed_json'],
    ]);
    const done = readFileSync(join(output, 'part-0007.done.json'), 'utf8');
    expect(BulkDone.parse(JSON.parse(done))).toMatchObject({ succeeded: names.length + 1, failed: 5 });
    const progress = first.events.filter(({ event }) => event === 'progress');
    expect(progress.at(-1)).toMatchObject({ done: names.length + 6, total: names.length + 6, seconds_left: 0 });
    const second = await run();
    expect([second.code, second.events.length]).toEqual([0, 1]);
    expect(readFileSync(join(output, 'part-0007.done.json'), 'utf8')).toBe(done);
  });

  test('goes on where it was stopped, and the output is that of a run without a stop', async () => {
    writeLines(hundred);
    const { encode, seen } = counting();
    const stop = new AbortController();
    const job = { input, output, shard: 0, space_id, encode };
    expect(await encodeShard({ ...job, signal: stop.signal, onProgress: () => stop.abort() })).toBeUndefined();
    const stoppedAfter = seen();
    expect(stoppedAfter).toBeLessThan(100);
    expect(readdirSync(output)).not.toContain('part-0000.done.json');
    expect(await encodeShard(job)).toMatchObject({ lines: 100, succeeded: 100, failed: 0 });
    expect(seen()).toBe(100);
    const stopped = readFileSync(join(output, 'part-0000.jsonl'), 'utf8');
    rmSync(output, { recursive: true });
    await encodeShard(job);
    expect(readFileSync(join(output, 'part-0000.jsonl'), 'utf8')).toBe(stopped);
  });

  test('repairs a line that a killed run has half written', async () => {
    writeLines(hundred);
    const { encode, seen } = counting();
    const stop = new AbortController();
    const job = { input, output, shard: 0, space_id, encode };
    await encodeShard({ ...job, signal: stop.signal, onProgress: () => stop.abort() });
    const before = seen();
    appendFileSync(join(output, 'part-0000.jsonl'), '{"line":32,"custom_id":"c32","embed');
    await encodeShard(job);
    expect(seen()).toBe(100);
    expect(before).toBe(32);
    const lines = readLines('part-0000.jsonl', BulkResult).map(({ line }) => line);
    expect(lines).toEqual(hundred.map((_, i) => i));
  });

  test.each(['input', 'model'])('is encoded anew when its %s has changed', async (what) => {
    writeLines(hundred);
    const first = counting();
    const stop = new AbortController();
    const job = { input, output, shard: 0, space_id, encode: first.encode };
    await encodeShard({ ...job, signal: stop.signal, onProgress: () => stop.abort() });
    if (what === 'input') writeLines(hundred.toReversed());
    const again = counting();
    const other = what === 'model' ? { space_id: `sha256:${'b'.repeat(64)}` } : {};
    await encodeShard({ ...job, ...other, encode: again.encode });
    expect(again.seen()).toBe(100);
    expect(readLines('part-0000.jsonl', BulkResult)).toHaveLength(100);
  });

  test('fails as a whole when the encoder fails, so that no image is blamed for it', async () => {
    writeLines(hundred);
    for (const code of ['encoder_error', 'encoder_timeout'] as const) {
      const encode: Encode = async (files) => files.map(() => refusedImage({ code, message: 'out of memory' }));
      await expect(encodeShard({ input, output, shard: 0, space_id, encode })).rejects.toThrow('out of memory');
    }
    expect(readdirSync(output)).toEqual(['part-0000.started.json']);
  });

  test.each(['part-0000.jsonl', 'errors-0000.jsonl', 'part-0000.done.json', 'part-0000.started.json'])(
    'whose %s cannot be read fails before anything is encoded, instead of beginning anew',
    async (name) => {
      writeLines(hundred);
      const { encode, seen } = counting();
      const stop = new AbortController();
      const job = { input, output, shard: 0, space_id, encode };
      await encodeShard({ ...job, signal: stop.signal, onProgress: () => stop.abort() });
      const before = seen();
      // A folder in the file's place cannot be read, whoever runs the test.
      rmSync(join(output, name), { force: true });
      mkdirSync(join(output, name));
      await expect(encodeShard(job)).rejects.toThrow('EISDIR');
      expect(seen()).toBe(before);
    },
  );

  test('that cannot be read is not called missing', async () => {
    mkdirSync(join(input, 'shard-0000.jsonl'));
    const { encode } = counting();
    await expect(encodeShard({ input, output, shard: 0, space_id, encode })).rejects.toThrow('EISDIR');
  });

  test('that does not exist is named', async () => {
    const { encode } = counting();
    await expect(encodeShard({ input, output, shard: 3, space_id, encode })).rejects.toThrow(
      /no shard at .*shard-0003.jsonl/,
    );
  });
});

async function runToEnd(arguments_: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, arguments_, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let text = '';
  for await (const part of child.stdout) text += part;
  const lines = text.split('\n').filter((line) => line !== '');
  return { code: await exited, events: lines.map((line) => JSON.parse(line) as { event: string }) };
}
