// SentencePiece in Node: against the library with models trained for the test, and cut where texts may be cut.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import type { Tokenizer } from '../../api/text/engine.ts';
import { createSentencePiece } from '../../api/text/tokenizers/sentencepiece/sentencepiece.ts';
import type { SentencePieceTokenizer } from '../../contracts/src/model/tokenizer.ts';
import { warmPython } from '../support/python.ts';

vi.setConfig({ hookTimeout: 600_000 });

interface Case {
  name: string;
  cleaning: SentencePieceTokenizer['cleaning'] | null;
  /** Base64. */
  model: string;
  unknown: number;
  ids: number[][];
}

let texts: string[];
let cases: (Case & { tokenizer: Tokenizer })[];
beforeAll(async () => {
  const script = join(import.meta.dirname, '../support/sentencepiece_tokens.py');
  const stdout = execFileSync(await warmPython(), [script], { encoding: 'utf8', maxBuffer: 2 ** 27 });
  const reference: { texts: string[]; cases: Case[] } = JSON.parse(stdout);
  texts = reference.texts;
  cases = reference.cases.map((each) => ({ ...each, tokenizer: open(each) }));
});

function open({ model, unknown, cleaning }: Case): Tokenizer {
  const file = Uint8Array.from(Buffer.from(model, 'base64'));
  return createSentencePiece(file, { unk_id: unknown, sep_id: 1, cleaning: cleaning ?? undefined });
}

test('2,000 nasty texts have the ids of the library, for every kind of model and cleaning', () => {
  expect(texts).toHaveLength(2000);
  expect(cases.map(({ name, cleaning }) => [name, cleaning])).toEqual([
    ['unigram', null],
    ['unigram', 'lower'],
    ['unigram', 'canonical'],
    ['unigram', 'canonical_spaced'],
    ['unigram with symbols', null],
    ['unigram with symbols within words', null],
    ['bpe', null],
    ['bpe', 'lower'],
    ['bpe', 'canonical_spaced'],
    ['bpe with unknowns', null],
    ['unigram with ties', null],
  ]);
  for (const { name, cleaning, ids, tokenizer } of cases) {
    const wrong = texts.flatMap((text, index) => {
      const found = tokenizer.encode(text).ids;
      return JSON.stringify(found) === JSON.stringify(ids[index])
        ? []
        : [{ name, cleaning, text, found, ids: ids[index] }];
    });
    expect(wrong.slice(0, 3)).toEqual([]);
  }
});

test('every token has a place in the text, in order', () => {
  for (const { tokenizer } of cases) {
    for (const text of texts) {
      const { ids, starts, ends, unknown } = tokenizer.encode(text);
      expect([starts.length, ends.length, unknown?.length]).toEqual([ids.length, ids.length, ids.length]);
      const isInOrder = starts.every((start, index) => start < (ends[index] ?? 0) && start >= (starts[index - 1] ?? 0));
      expect(isInOrder && (ends.at(-1) ?? 0) <= text.length).toBe(true);
    }
  }
});

test('a text that is cut where it may be has the tokens and places of the whole', () => {
  // Which of equal splits is found depends on the sum of all that is before them.
  const cut = cases.filter(({ name, tokenizer }) => tokenizer.seam && name !== 'unigram with ties');
  expect(cut.map(({ name }) => name)).toContain('bpe');
  expect(cut.map(({ name }) => name)).toContain('unigram');
  for (const { tokenizer } of cut) {
    for (const [index, text] of texts.entries()) {
      const at = tokenizer.seam?.(text, index % 40) ?? 0;
      const [head, tail, whole] = [text.slice(0, at), text.slice(at), text].map(tokenizer.encode);
      expect([...(head?.ids ?? []), ...(tail?.ids ?? [])]).toEqual(whole?.ids);
      expect([...(head?.starts ?? []), ...(tail?.starts.map((start) => start + at) ?? [])]).toEqual(whole?.starts);
    }
  }
});

test.each(['a dog▁ runs', 'dog▁▁ dog', '▁ ▁ dog', 'dog ▁ ▁▁ '])(
  '%j, which holds the sign for a space in pieces, is cut where the tokens are those of the whole',
  (text) => {
    for (const { tokenizer } of cases) {
      for (let from = 0; tokenizer.seam && from < text.length; from++) {
        const at = tokenizer.seam(text, from);
        const [head, tail, whole] = [text.slice(0, at), text.slice(at), text].map((part) => tokenizer.encode(part).ids);
        expect([...(head ?? []), ...(tail ?? [])]).toEqual(whole);
      }
    }
  },
);

test('places are those of the original where normalisation moves letters', () => {
  const [unigram] = cases;
  const text = '  ﬁ dog';
  const { starts = [], ends = [] } = unigram?.tokenizer.encode(text) ?? {};
  const parts = new Set(starts.map((start, index) => text.slice(start, ends[index])));
  expect(parts).toContain('ﬁ');
  expect(ends.at(-1)).toBe(text.length);
});

test('a word of 200,000 letters takes no more than its share', () => {
  const known = cases.filter(({ name }) => name !== 'unigram with ties');
  for (const { tokenizer } of known) expect(tokenizer.encode('ab'.repeat(100_000)).ids.length).toBeGreaterThan(10_000);
});

test('what is no model of the library, or asks for more than is computed, is refused', () => {
  const open = (bytes: number[]) =>
    createSentencePiece(Uint8Array.from(bytes), { unk_id: 0, sep_id: 1, cleaning: undefined });
  expect(() => open([...Buffer.from('{"model": {"type": "BPE"}}')])).toThrow('no SentencePiece model');
  expect(() => open([])).toThrow('it has no pieces');
  const piece = [0x0a, 0x03, 0x0a, 0x01, 0x61];
  expect(() => open([...piece, 0x12, 0x02, 0x18, 0x03])).toThrow('neither unigram nor bpe');
  expect(() => open([...piece, 0x12, 0x03, 0xc0, 0x01, 0x01])).toThrow('puts white space at the end of words');
});
