// The same texts in both runtimes: token ids against what Hugging Face `tokenizers` made of them.
import { expect, test } from 'vitest';
import { createWordPiece } from '../../../api/text/tokenizers/wordpiece.ts';
import vectors from '../../../contracts/vectors/tokenizer/nasty.json';
import vocabulary from '../../../contracts/vectors/tokenizer/vocabulary.txt?raw';

export function testWordPiece(): void {
  const { encode } = createWordPiece(vocabulary, { unk_id: vectors.unk_id, cls_id: 2, sep_id: 3 });

  test('token ids equal those of the Python tokenizer on every nasty text, but for glued symbols', () => {
    expect(vectors.cases.length).toBeGreaterThanOrEqual(3000);
    const changed = vectors.cases.filter(({ apart }) => apart);
    expect(changed.length).toBeGreaterThan(100);
    expect(changed.every(({ text }) => /[\p{S}\p{Me}\u{1f000}-\u{1faff}]/u.test(text))).toBe(true);
    const wrong = vectors.cases
      .map(({ text, ids, apart }) => ({ text, ids: apart ?? ids, ours: encode(text).ids }))
      .filter(({ ids, ours }) => ids.join() !== ours.join());
    expect(wrong).toEqual([]);
  });

  test.each([
    ['dog👍', 'dog', ' 👍'],
    ['👍dog👍', '👍 ', 'dog', ' 👍'],
    ['dog👍🏽🔥cat', 'dog', ' 👍', ' cat'],
  ])('%s is read as its words and one unknown token per run of symbols', (text, ...apart) => {
    expect(encode(text).ids).toEqual(apart.flatMap((part) => encode(part).ids));
    expect(encode(text).starts).toEqual([...text.matchAll(/[a-z]+|[^a-z]+/gu)].map(({ index }) => index));
  });

  // What `tokenizers` 0.23 makes of them: its tables of marks and of letters with marks end years before an engine's.
  test.each([
    ['a letter that is two since Unicode 13', 'a\u{11938}', 'a\u{11938}'],
    ['one of Unicode 16, with a mark', '\u{105c9}\u0301', '\u{105c9}'],
    ['one of three', 'a\u{16128}\u0323', 'a\u{16128}'],
    ['two marks of which one is later', '\u{1e131}\u08d3', '\u{1e131}\u08d3'],
    ['two marks that are known', 'a\u{1e002}\u{1193d}', 'a\u{1e002}\u{1193d}'],
    ['marks that are put in order', 'a\u302e\u302a\u{1d165}', 'a\u{1d165}\u302e'],
    ['a pile of accents', 'e\u0301\u0323\u{302e}', 'e\u{302e}'],
  ])('%s is spelled as it is there', (_, text, normalised) => {
    const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
    const config = { unk_id: 1, cls_id: 2, sep_id: 3, fallback: 'bytes' } as const;
    const { ids } = createWordPiece([...special, ...bytes].join('\n'), config).encode(text);
    expect(ids.map((id) => id - special.length)).toEqual([...new TextEncoder().encode(normalised)]);
  });

  test('every token lies in the text, in order, and never begins or ends inside a character', () => {
    for (const { text } of vectors.cases) {
      const { ids, starts, ends } = encode(text);
      expect([starts.length, ends.length]).toEqual([ids.length, ids.length]);
      const whole = starts.every(
        (start, i) =>
          start < (ends[i] ?? -1) &&
          start >= (starts[i - 1] ?? 0) &&
          (ends[i] ?? 0) <= text.length &&
          !splitsPair(text, start) &&
          !splitsPair(text, ends[i] ?? 0),
      );
      expect(whole, JSON.stringify(text)).toBe(true);
    }
  });
}

export function splitsPair(text: string, at: number): boolean {
  return /[\ud800-\udbff]/.test(text[at - 1] ?? '') && /[\udc00-\udfff]/.test(text[at] ?? '');
}
