// Lines of a stream: however it is cut into chunks, and however long a line is.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { answersOf, type BatchAnswer } from '../../../../api/bulk/answers.ts';
import { encodeLines, linesOf } from '../../../../api/bulk/service/lines.ts';
import { errorsIn, newFolder, openTiny, resultsIn, runJob, writeLines } from '../jobs.ts';

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const value of values) collected.push(value);
  return collected;
}

/** The code of the error in place of what is no text. */
async function read(chunks: string[], most = 100): Promise<string[]> {
  async function* stream() {
    for (const chunk of chunks) yield new TextEncoder().encode(chunk);
  }
  return (await collect(linesOf(stream(), most))).map((line) => (typeof line === 'string' ? line : line.error.code));
}

test('lines come out whole, whatever the chunks', async () => {
  const text = 'eins\nzwei ü\r\n\nlast';
  for (let size = 1; size < text.length; size++) {
    const bytes = new TextEncoder().encode(text);
    async function* stream() {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    }
    expect(await collect(linesOf(stream(), 100))).toEqual(['eins', 'zwei ü', '', 'last']);
  }
  expect(await read(['a\n', 'b\n'])).toEqual(['a', 'b']);
});

test('a line that is too long is told and not held, and the next one is read', async () => {
  expect(await read(['x'.repeat(60), 'x'.repeat(60), '\nshort\n', 'y'.repeat(100), '\n'])).toEqual([
    'body_too_large',
    'short',
    'y'.repeat(100),
  ]);
});

/** A 1 x 1 pixel. */
const PIXEL = 'R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7';

test('lines that are not UTF-8 are refused: neither another text nor another name comes out of them', async () => {
  const folder = newFolder('in');
  const lines = [
    '{"custom_id": "ü", "image": "PIXEL"}',
    '{"custom_id": "ü", "text": "x"}',
    '{"custom_id": "a", "text": "ü"}',
  ];
  const [utf8 = '', ...others] = lines.map((line) => `${line.replace('PIXEL', PIXEL)}\n`);
  const bytes = Buffer.concat([Buffer.from(utf8), ...others.map((line) => Buffer.from(line, 'latin1'))]);
  writeFileSync(join(folder, 'lines.jsonl'), bytes);
  const { output } = await runJob({ input: { jsonl: `file://${folder}/lines.jsonl` } });
  expect(resultsIn(output).map(({ custom_id }) => custom_id)).toEqual(['ü']);
  const message = 'the line is not UTF-8: write the file in that encoding.';
  expect(errorsIn(output)).toEqual([
    { item: 1, custom_id: '\ufffd', code: 'malformed_json', message },
    { item: 2, custom_id: 'a', code: 'malformed_json', message },
  ]);
});

test('a line of a batch that is not UTF-8 is answered with an error', async () => {
  const encoder = await openTiny();
  const { job } = await runJob({ input: { jsonl: writeLines(newFolder('in'), [{ custom_id: '1', text: ' ' }]) } });
  async function* stream() {
    yield Buffer.from(
      '{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"input": "ü"}}',
      'latin1',
    );
  }
  const answers: BatchAnswer[] = await collect(answersOf(stream(), { encoder, job, shard: 0 }));
  expect(answers).toMatchObject([{ custom_id: null, response: null, error: { code: 'malformed_json' } }]);
  await encoder.close();
});

test('names that files and databases cannot hold are refused', async () => {
  const names = ['nul \0', 'half \ud800', 'other half \udfff', 'whole \u{1f600}', 'line\nend "quoted"'];
  const lines = names.map((custom_id) => ({ custom_id, image: PIXEL }));
  const { output } = await runJob({
    input: { jsonl: writeLines(newFolder('in'), lines) },
    formats: ['jsonl', 'parquet'],
  });
  expect(resultsIn(output).map(({ custom_id }) => custom_id)).toEqual(names.slice(3));
  expect(errorsIn(output).map(({ custom_id, code }) => [custom_id, code])).toEqual(
    names.slice(0, 3).map((name) => [name, 'invalid_request']),
  );
  for (const { message } of errorsIn(output)) expect(message).toContain('"custom_id" has a NUL, or half of a');
});

test('documents are a line each, of more letters in all than a string may have', () => {
  const few = [{ custom_id: 'ü \ud800' }, { embedding: [0.5] }];
  expect(Buffer.from(encodeLines(few)).toString()).toBe('{"custom_id":"ü \\ud800"}\n{"embedding":[0.5]}\n');
  expect(encodeLines([])).toEqual(new Uint8Array());
  const document = { text: 'x'.repeat(2 ** 24) };
  const line = JSON.stringify(document).length + 1;
  // 32 lines of this are 536,871,296 characters, and V8's longest string has 536,870,888.
  expect(encodeLines(Array.from({ length: 32 }, () => document)).byteLength).toBe(32 * line);
});
