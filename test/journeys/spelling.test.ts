// Texts that the vocabulary does not have, spelled in bytes: the same ids as in training, and tokens that cover the text.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createWordPiece } from '../../api/text/tokenizers/wordpiece.ts';
import { warmPython } from '../support/python.ts';

const ROOT = join(import.meta.dirname, '../..');
const known = readFileSync(join(ROOT, 'contracts/vectors/tokenizer/vocabulary.txt'), 'utf8').trimEnd().split('\n');
const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
const pieces = [...special, ...bytes, ...known.filter((piece) => !special.includes(piece))];
const ids = { unk_id: 1, cls_id: 2, sep_id: 3 };
const tokenizer = createWordPiece(`${pieces.join('\n')}\n`, { ...ids, fallback: 'bytes' });

/** Well-formed: Python's strings hold no halves of surrogate pairs. Words of the vocabulary between characters of anywhere. */
const anything = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'dog',
        'running',
        ' ',
        '犬',
        'ґ',
        'é',
        '👍🏽',
        '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
        '…',
        '€',
        'İ',
        'ﬁ',
        '\u0301',
        '한',
        'x'.repeat(101),
      ),
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.string({ unit: 'grapheme', maxLength: 4 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join('').toWellFormed());

test('ids are those of the trainer, whatever the text is made of, and none is unknown', async () => {
  const texts = fc.sample(anything, { numRuns: 3000, seed: 20261126 });
  const script = join(ROOT, 'test/support/tokenize_texts.py');
  const output = execFileSync(await warmPython(), [script], {
    input: JSON.stringify({ pieces, texts }),
    maxBuffer: 2 ** 27,
  });
  const expected: number[][] = JSON.parse(output.toString());
  const wrong = texts.flatMap((text, index) => {
    const [ours, theirs] = [tokenizer.encode(text).ids, expected[index] ?? []];
    return ours.join() === theirs.join() ? [] : [{ text, ours, theirs }];
  });
  expect(wrong).toEqual([]);
  expect(expected.flat()).not.toContain(ids.unk_id);
  expect(expected.flat().filter((id) => id > 4 && id < 261).length).toBeGreaterThan(1000);
});

test('a vocabulary without all bytes cannot spell', () => {
  const lacking = pieces.filter((piece) => piece !== '<0x7F>').join('\n');
  expect(() => createWordPiece(lacking, { ...ids, fallback: 'bytes' })).toThrow('the vocabulary lacks <0x7F>');
});

test('tokens that spell a character share its place', () => {
  const { ids: found, starts, ends, unknown } = tokenizer.encode('a 犬');
  expect(found.map((id) => tokenizer.piece(id))).toEqual(['a', '<0xE7>', '<0x8A>', '<0xAC>']);
  expect([starts, ends, unknown]).toEqual([
    [0, 2, 2, 2],
    [1, 3, 3, 3],
    [false, true, true, true],
  ]);
});
