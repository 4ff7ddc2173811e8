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
