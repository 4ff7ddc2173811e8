// Lines of a stream: however it is cut into chunks, and however long a line is.
import { expect, test } from 'vitest';
import { encodeLines, linesOf } from '../../../../api/bulk/service/lines.ts';

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const value of values) collected.push(value);
  return collected;
}

async function read(chunks: string[], most = 100): Promise<(string | undefined)[]> {
  async function* stream() {
    for (const chunk of chunks) yield new TextEncoder().encode(chunk);
  }
  return collect(linesOf(stream(), most));
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
    undefined,
    'short',
    'y'.repeat(100),
  ]);
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
