// Looking up pieces of a vocabulary, against reading all of its lines for every question.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeIndex, encodeIndex, indexVocabulary, openPieces } from '../../../../api/text/tokenizers/pieces.ts';

/** The longest line that stands there, by trying every line; the last of equal ones. */
function longestLine(lines: string[], word: string, start: number): { id: number; end: number } | undefined {
  let found: { id: number; end: number } | undefined;
  for (const [id, line] of lines.entries()) {
    if (start > 0 && !line.startsWith('##')) continue;
    const piece = start > 0 ? line.slice(2) : line;
    const end = start + piece.length;
    if (piece !== '' && word.startsWith(piece, start) && end >= (found?.end ?? 0)) found = { id, end };
  }
  return found;
}

// Few units, so that many pieces begin alike, and some far apart, so that groups are shared.
const piece = fc.string({
  unit: fc.constantFrom('a', 'b', '#', 'é', '日', '\ud83d', '\ude00'),
  minLength: 1,
  maxLength: 6,
});
const line = fc.oneof(
  piece,
  piece.map((text) => `##${text}`),
);

const vocabularies = fc.array(line, { minLength: 1, maxLength: 60 });

test('the longest piece is found at every place of every word, by an index that was made or one that was stored', () => {
  fc.assert(
    fc.property(vocabularies, piece, fc.boolean(), fc.boolean(), (lines, word, ends, isStored) => {
      const vocabulary = `${lines.join('\n')}${ends ? '\n' : ''}`;
      const stored = decodeIndex(encodeIndex(indexVocabulary(vocabulary)).buffer);
      const pieces = openPieces(vocabulary, isStored ? stored : undefined);
      for (let start = 0; start < word.length; start++) {
        expect(pieces.match(word, start)).toEqual(longestLine(lines, word, start));
      }
      for (const [id, entry] of lines.entries()) {
        expect(pieces.entry(id)).toBe(entry);
        expect(pieces.idOf(entry)).toBe(lines.lastIndexOf(entry));
      }
    }),
    { numRuns: 500, seed: 20261127 },
  );
});

test('as many pieces as a vocabulary has are told apart, also where their groups are shared', () => {
  const lines = Array.from(
    { length: 30_000 },
    (_, id) => `${id % 2 ? '##' : ''}${String.fromCodePoint(0x4e00 + id)}${id % 7}`,
  );
  const pieces = openPieces(lines.join('\n'));
  for (const [id, entry] of lines.entries()) expect(pieces.idOf(entry)).toBe(id);
  expect(pieces.idOf('absent')).toBeUndefined();
  expect(pieces.entry(lines.length)).toBe('');
});

test('empty lines are no entries, but for the first', () => {
  const pieces = openPieces('\na\n\nb\n');
  expect([0, 1, 2, 3].map((id) => pieces.entry(id))).toEqual(['', 'a', 'b', '']);
  expect(pieces.match('b', 0)).toEqual({ id: 2, end: 1 });
});

test.each([0, 4, 2 * 4096 * 4, 2 * 4096 * 4 + 16])('a file of %i bytes is no index', (bytes) => {
  expect(() => decodeIndex(new ArrayBuffer(bytes))).toThrow(`no index of a vocabulary has ${bytes} bytes`);
});
