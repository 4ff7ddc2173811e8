// Tokens and their places: against what Hugging Face `tokenizers` 0.22 gives with the same vocabulary.
import { describe, expect, test } from 'vitest';
import type { Engines } from '../../../api/core/embed.ts';
import { type TokenizeInput, tokenize } from '../../../api/core/tokenize.ts';
import type { Work } from '../../../api/core/work.ts';
import { appOf, CONTEXT, STATIC, tableModel } from '../worker/table-model.ts';

const { provider } = appOf(await tableModel());
const model = await provider.use(async (current) => current);
const admitted: Work[] = [];
const admit: Engines['admit'] = (work, begin) => {
  admitted.push(work);
  return begin();
};
const engines: Engines = { admit, images: () => Promise.reject(new Error('there are no images')) };
const run = async (asked: TokenizeInput) => (await tokenize(model, engines, asked)).texts;
const bytes = (text: string) => new TextEncoder().encode(text);

/** `Encoding.ids` and `Encoding.offsets`, which count code points in Python. */
const HUGGING_FACE: [text: string, tokens: [id: number, piece: string, start: number, end: number][]][] = [
  [
    'Zwei Männer 👍',
    [
      [298, 'zwei', 0, 4],
      [481, 'manner', 5, 11],
      [1, '[UNK]', 12, 13],
    ],
  ],
  [
    '👩‍👩‍👧 dog',
    [
      [1, '[UNK]', 0, 5],
      [506, 'dog', 6, 9],
    ],
  ],
  [
    'Příliš dogs',
    [
      [683, 'pri', 0, 3],
      [371, '##li', 3, 5],
      [81, '##s', 5, 6],
      [1651, 'dogs', 7, 11],
    ],
  ],
];

describe.each(HUGGING_FACE)('%s', (text, expected) => {
  test('has the tokens and places of the reference, in code points', async () => {
    const [found] = await run({ model: STATIC, input: [text], units: 'code_points' });
    expect(found?.tokens.map(({ id, piece, start, end }) => [id, piece, start, end])).toEqual(expected);
  });

  test('has the same parts by UTF-16 units and by bytes', async () => {
    const parts = expected.map(([, , start, end]) => [...text].slice(start, end).join(''));
    for (const units of ['utf16', 'bytes'] as const) {
      const [found] = await run({ model: STATIC, input: [text], units });
      const cut = ({ start, end }: { start: number | null; end: number | null }) =>
        units === 'utf16'
          ? text.slice(start ?? -1, end ?? -1)
          : new TextDecoder().decode(bytes(text).slice(start ?? -1, end ?? -1));
      expect(found?.tokens.map(cut)).toEqual(parts);
      expect(found?.tokens.map((token) => token.text)).toEqual(parts);
    }
  });
});

test('the student reads two tokens more, which have no place', async () => {
  const [found] = await run({ input: ['dog'] });
  expect(found?.tokens.map(({ id, piece, text, special, start }) => [id, piece, text, special, start])).toEqual([
    [2, '[CLS]', '', true, null],
    [506, 'dog', 'dog', false, 0],
    [3, '[SEP]', '', true, null],
  ]);
  const read = { truncated: false, tokens_seen: 3, tokens_total: 3, cut_at_char: null };
  expect(found?.truncation).toEqual({ ...read, tokens_unknown: 0, chars_unknown: 0, understood: true });
});

test.each([
  ['end' as const, (at: number) => at < CONTEXT - 2],
  ['start' as const, (at: number) => at >= 4],
])('what is cut at the %s is marked as not read', async (truncate, isRead) => {
  const words = CONTEXT - 2 + 4;
  const text = Array(words).fill('dog').join(' ');
  const [found] = await run({ input: [text], truncate });
  const own = found?.tokens.filter(({ special }) => !special) ?? [];
  expect(own.map(({ read }) => read)).toEqual(Array.from({ length: words }, (_, at) => isRead(at)));
  expect(found?.truncation).toMatchObject({ truncated: true, tokens_seen: CONTEXT, tokens_total: words + 2 });
  const edge = truncate === 'end' ? own.findLast(({ read }) => read)?.end : own.find(({ read }) => read)?.start;
  expect(found?.truncation.cut_at_char).toBe(edge);
});

test('a text of nothing has no tokens of its own, and that is an answer', async () => {
  const [student] = await run({ input: [' \n'] });
  expect(student?.tokens.map(({ piece }) => piece)).toEqual(['[CLS]', '[SEP]']);
  expect((await run({ model: STATIC, input: [''] }))[0]?.tokens).toEqual([]);
});

test('a lone half of a pair takes the three bytes of what stands for it in UTF-8', async () => {
  const [found] = await run({ model: STATIC, input: ['\ud83d dog'], units: 'bytes' });
  expect(found?.tokens.at(-1)).toMatchObject({ piece: 'dog', start: 4, end: 7 });
});

test('work is admitted by the length of all texts', async () => {
  admitted.length = 0;
  await run({ input: ['dog', 'running'] });
  expect(admitted).toEqual([{ kind: 'tokenizer', size: 10 }]);
});

test('texts that are too long together are refused before they are read', async () => {
  const input = ['a'.repeat(150_000), 'b'.repeat(50_001)];
  await expect(run({ input })).rejects.toMatchObject({ code: 'text_too_long', details: { param: 'input' } });
});
