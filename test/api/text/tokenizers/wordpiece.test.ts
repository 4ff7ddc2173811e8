// WordPiece in Node: against the Python tokenizer, and cut into slices, in which long texts are read.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readingWork, tokenizeInTurns } from '../../../../api/core/items/turns.ts';
import { createWordPiece } from '../../../../api/text/tokenizers/wordpiece.ts';
import { testWordPiece } from '../../worker/wordpiece-vectors.ts';

testWordPiece();

const VOCABULARY = join(import.meta.dirname, '../../../../api/model/vocabulary.txt');
const tokenizer = createWordPiece(readFileSync(VOCABULARY, 'utf8'), { unk_id: 1, cls_id: 2, sep_id: 3 });

/** Words, scripts, marks, ligatures, white space and halves of surrogate pairs, in any order. */
const nasty = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'dog ',
        'running',
        '狗',
        '雪地',
        ' ',
        '\n',
        '\u3000',
        '\u00a0',
        'e\u0301',
        '\u0301',
        'ﬁ',
        '👍🏽',
        '한',
        'İ',
      ),
      fc.string({ unit: 'binary', maxLength: 3 }),
      fc.constantFrom('\ud83d', '\udc4d', '\u200d', '\ufeff', 'ǅ', 'ς', '\u0344', '豈'),
    ),
    { maxLength: 40 },
  )
  .map((pieces) => pieces.join(''));

test('a text that is cut where it may be has the tokens and places of the whole', () => {
  fc.assert(
    fc.property(nasty, fc.nat(60), (text, from) => {
      const at = tokenizer.seam?.(text, from) ?? 0;
      const [head, tail, whole] = [text.slice(0, at), text.slice(at), text].map(tokenizer.encode);
      const shift = (places: number[] = []) => places.map((place) => place + at);
      expect([...(head?.ids ?? []), ...(tail?.ids ?? [])]).toEqual(whole?.ids);
      expect([...(head?.starts ?? []), ...shift(tail?.starts)]).toEqual(whole?.starts);
      expect([...(head?.ends ?? []), ...shift(tail?.ends)]).toEqual(whole?.ends);
    }),
    { numRuns: 5000, seed: 1 },
  );
});

test.each([
  ['words', 'a brown dog runs through deep snow '.repeat(1000), 1],
  ['letters with marks', 'ein brauner Hund läuft '.repeat(1500), 30],
  ['a script without spaces', '狗在雪地里跑'.repeat(5000), 30],
])('a long text of %s is read in slices, as the whole', async (_, text, weight) => {
  const turns: number[] = [];
  const next = async (work: number) => void turns.push(work);
  const read = (await tokenizeInTurns(text, tokenizer, { next })).encode(text);
  expect(read).toEqual(tokenizer.encode(text));
  expect(Math.max(...turns)).toBeLessThan(1100 * weight);
  const work = turns.reduce((sum, each) => sum + each, 0);
  expect(work).toBeGreaterThanOrEqual(text.length);
  expect(work).toBeLessThanOrEqual(text.length * weight);
});

test('a few sentences are not worth a turn, ten thousand letters are', () => {
  const part = (text: string) => [{ part: { text }, place: { item: 0, param: 'input.0' } }];
  expect(readingWork(part('a brown dog runs through deep snow '.repeat(20)))).toBe(0);
  expect(readingWork(part('a'.repeat(10_000)))).toBe(10_000);
});
