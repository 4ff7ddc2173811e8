// CLIP's byte-pair encoding in Node: against transformers' tokenizer with the published vocabulary, and cut where texts may be cut.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { Tokenizer } from '../../api/text/engine.ts';
import { createClipBpe } from '../../api/text/tokenizers/clip-bpe.ts';
import { warmPython } from '../support/python.ts';

vi.setConfig({ hookTimeout: 600_000 });

interface Reference {
  vocabulary: string;
  merges: string;
  start: number;
  end: number;
  texts: string[];
  ids: number[][];
}

let reference: Reference;
let tokenizer: Tokenizer;
beforeAll(async () => {
  const script = join(import.meta.dirname, '../support/clip_tokens.py');
  const stdout = execFileSync(await warmPython(), [script], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  reference = JSON.parse(stdout);
  const { start, end } = reference;
  tokenizer = createClipBpe(reference, { unk_id: end, cls_id: start, sep_id: end });
});

describe('the published vocabulary', () => {
  test('2,000 nasty texts have the ids of the reference', () => {
    expect(reference.texts).toHaveLength(2000);
    const wrong = reference.texts.flatMap((text, index) => {
      const found = tokenizer.encode(text).ids;
      return JSON.stringify(found) === JSON.stringify(reference.ids[index])
        ? []
        : [{ text, found, ids: reference.ids[index] }];
    });
    expect(wrong.slice(0, 3)).toEqual([]);
  });

  test('every token has a place in the text, in order, and together they cover all but white space', () => {
    for (const text of reference.texts) {
      const { ids, starts, ends, unknown } = tokenizer.encode(text);
      expect([starts.length, ends.length, unknown?.length]).toEqual([ids.length, ids.length, ids.length]);
      expect(unknown).not.toContain(true);
      let reached = 0;
      for (const [index, start] of starts.entries()) {
        // Nothing but white space lies between two tokens.
        expect(text.slice(reached, start).trim().replaceAll('\u0085', '')).toBe('');
        expect(ends[index]).toBeGreaterThan(start);
        reached = Math.max(reached, ends[index] ?? 0);
      }
      expect(text.slice(reached).trim().replaceAll('\u0085', '')).toBe('');
    }
  });

  test('a text that is cut where it may be has the tokens and places of the whole', () => {
    for (const [index, text] of reference.texts.entries()) {
      const at = tokenizer.seam?.(text, index % 40) ?? 0;
      const [head, tail, whole] = [text.slice(0, at), text.slice(at), text].map(tokenizer.encode);
      expect([...(head?.ids ?? []), ...(tail?.ids ?? [])]).toEqual(whole?.ids);
      expect([...(head?.starts ?? []), ...(tail?.starts.map((start) => start + at) ?? [])]).toEqual(whole?.starts);
    }
  });

  test('places are those of the original where normalisation moves letters', () => {
    const text = 'x e\u0301 ΣΑΣ 👍🏽';
    const { starts, ends } = tokenizer.encode(text);
    const parts = new Set(starts.map((start, index) => text.slice(start, ends[index])));
    expect(parts).toContain('e\u0301');
    expect(starts[0]).toBe(0);
    expect(ends.at(-1)).toBe(text.length);
  });

  test('a word of 200,000 letters takes no more than its share', () => {
    expect(tokenizer.encode('ab'.repeat(100_000)).ids.length).toBeGreaterThan(10_000);
  });
});

test('a vocabulary that lacks a piece of a merge is refused by name', () => {
  const broken = { vocabulary: 'a\nb\n<|startoftext|>\n<|endoftext|>\n', merges: 'a b\n' };
  expect(() => createClipBpe(broken, { unk_id: 3, cls_id: 2, sep_id: 3 })).toThrow('a piece of merge 1, "a b"');
});
