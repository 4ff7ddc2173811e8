// Properties that hold for every input, tried on many: encodings, truncation receipts, order and similarity.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../../../api/core/errors.ts';
import { readText } from '../../../api/core/items/read.ts';
import { base64Size, fromBase64, isBase64, toBase64 } from '../../../api/core/vectors/base64.ts';
import { encodeEmbedding, fromFloat32Bytes } from '../../../api/core/vectors/vectors.ts';
import { EmbeddingType, EmbedResponse } from '../../../contracts/src/api/embed.ts';
import { SimilarityResponse } from '../../../contracts/src/api/similarity.ts';
import { appOf, CONTEXT, STATIC, tableModel } from './table-model.ts';
import { splitsPair } from './wordpiece-vectors.ts';

fc.configureGlobal({ seed: 20261124, numRuns: 300 });

const { post, provider } = appOf(await tableModel());
const model = await provider.use(async (current) => current);
const tokenizer = await model.tokenizer();

/** Words of the vocabulary among anything that a string may hold, lone surrogates included. */
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom('dog', 'running', 'Männer', 'e\u0301', '北京', '👩‍👩‍👧', 'ẞ', 'İ', '\ud83d', 'x'.repeat(101)),
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.string({ unit: 'binary', maxLength: 6 }),
    ),
    { minLength: 1, maxLength: 20, size: 'max' },
  )
  .chain((parts) => fc.constantFrom('', ' ', ' ', '\u200b').map((joint) => parts.join(joint)));
const readable = text.filter((value) => tokenizer.encode(value).ids.length > 0);
const isKnown = (id: number) => id !== tokenizer.unknown;
const understood = text.filter((value) => tokenizer.encode(value).ids.slice(0, CONTEXT).some(isKnown));
const several = fc.array(understood, { minLength: 1, maxLength: 6 });

describe('encodings', () => {
  test('bytes survive base64', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const base64 = toBase64(bytes);
        expect([isBase64(base64), base64Size(base64)]).toEqual([true, bytes.length]);
        expect(fromBase64(base64)).toEqual(bytes);
        expect(fromBase64(base64.replace(/=+$/, ''))).toEqual(bytes);
      }),
    );
  });

  test('more bytes than a call takes arguments survive it too', () => {
    const bytes = Uint8Array.from({ length: 200_001 }, (_, i) => i % 251);
    expect(fromBase64(toBase64(bytes))).toEqual(bytes);
  });

  test('numbers survive, bit for bit', () => {
    fc.assert(
      fc.property(fc.float32Array({ maxLength: 40 }), (vector) => {
        const base64 = encodeEmbedding(vector, 'base64');
        const back = fromFloat32Bytes(fromBase64(String(base64)));
        expect(back).toEqual(vector);
        expect(Float32Array.from(encodeEmbedding(vector, 'float') as number[])).toEqual(vector);
      }),
    );
  });

  test('whole numbers stay in their range, and the unsigned ones are the signed ones shifted', () => {
    fc.assert(
      fc.property(fc.float32Array({ maxLength: 40, noNaN: true }), (vector) => {
        const [int8, uint8, binary, ubinary] = (['int8', 'uint8', 'binary', 'ubinary'] as const).map(
          (type) => encodeEmbedding(vector, type) as number[],
        );
        expect(uint8).toEqual(int8?.map((value) => value + 128));
        expect(int8?.every((value) => Number.isInteger(value) && value >= -128 && value <= 127)).toBe(true);
        expect(binary).toEqual(ubinary?.map((value) => value - 128));
        expect(ubinary).toHaveLength(Math.ceil(vector.length / 8));
      }),
    );
  });
});

test('a truncation receipt tells what was read and cuts between characters', () => {
  const options = fc.record({
    tier: fc.constantFrom('student' as const, 'static' as const),
    truncate: fc.constantFrom('start' as const, 'end' as const, 'none' as const),
  });
  let cuts = 0;
  let strange = 0;
  fc.assert(
    fc.property(readable, options, (value, { tier, truncate }) => {
      const special = tier === 'student' ? 2 : 0;
      const tokens = tokenizer.encode(value);
      const total = tokens.ids.length + special;
      const reader = { tokenizer, manifest: model.manifest, tier, truncate };
      const prepare = () => readText(value, reader);
      if (truncate === 'none' && total > CONTEXT) {
        expect(prepare).toThrow(CoreError);
        return;
      }
      const first = truncate === 'start' ? Math.max(0, total - CONTEXT) : 0;
      const seen = tokens.ids.slice(first, first + CONTEXT - special);
      if (tier === 'static' && !seen.some(isKnown)) {
        expect(prepare).toThrow(/holds no word that the model knows/);
        return;
      }
      const { ids, truncation } = prepare();
      const { truncated, tokens_seen, tokens_total, cut_at_char, tokens_unknown, chars_unknown } = truncation;
      expect(tokens_unknown).toBe(seen.filter((id) => !isKnown(id)).length);
      expect(truncation.understood).toBe(seen.some(isKnown));
      expect(chars_unknown).toBeGreaterThanOrEqual(tokens_unknown);
      expect(chars_unknown).toBeLessThanOrEqual(value.length);
      if (!truncation.understood) strange++;
      expect([ids.length, tokens_total]).toEqual([tokens_seen, total]);
      expect(tokens_seen).toBe(Math.min(total, CONTEXT));
      expect(truncated).toBe(tokens_seen < tokens_total);
      expect(cut_at_char === null).toBe(!truncated);
      if (cut_at_char === null) return;
      cuts++;
      expect(cut_at_char).toBeGreaterThanOrEqual(0);
      expect(cut_at_char).toBeLessThanOrEqual(value.length);
      expect(splitsPair(value, cut_at_char)).toBe(false);
      // What lies on the other side of the cut did not count.
      const read = ids.slice(special / 2, ids.length - special / 2);
      const other = truncate === 'end' ? 'tail '.repeat(9) : ' head'.repeat(9);
      const changed = truncate === 'end' ? `${value} ${other}` : `${other} ${value}`;
      const again = readText(changed, reader);
      expect(again.ids.slice(special / 2, again.ids.length - special / 2)).toEqual(read);
    }),
  );
  expect(cuts).toBeGreaterThan(50);
  expect(strange).toBeGreaterThan(10);
});

async function embed(input: string[]): Promise<number[][]> {
  const response = await post('/embed', { input, model: STATIC });
  const { data } = EmbedResponse.parse(await response.json());
  expect(data.map(({ index }) => index)).toEqual(input.map((_, index) => index));
  return data.map(({ embedding }) => embedding as number[]);
}

test('replies come in the order of the inputs, each as if it had been sent alone', async () => {
  await fc.assert(
    fc.asyncProperty(several, async (input) => {
      const together = await embed(input);
      const alone = await Promise.all(input.map((value) => embed([value])));
      expect(together).toEqual(alone.flat());
    }),
    { numRuns: 60 },
  );
});

async function similarity(body: object) {
  const response = await post('/similarity', { ...body, model: STATIC });
  return SimilarityResponse.parse(await response.json());
}

describe('similarity', () => {
  test('is symmetric, between -1 and 1, and 1 of a text with itself', async () => {
    await fc.assert(
      fc.asyncProperty(several, several, async (a, b) => {
        const [there, back] = [await similarity({ a, b }), await similarity({ a: b, b: a })];
        if (there.mode !== 'matrix' || back.mode !== 'matrix') throw new Error('not the default mode');
        const { scores, calibrated } = there;
        expect(scores).toEqual(a.map((_, i) => b.map((_, j) => back.scores[j]?.[i])));
        for (const score of scores.flat()) expect(Math.abs(score)).toBeLessThanOrEqual(1);
        for (const p of calibrated.flat()) expect(p).toSatisfy((value: number) => value >= 0 && value <= 1);
        const self = await similarity({ a, b: a, mode: 'pairs' });
        if (self.mode !== 'pairs') throw new Error('not the mode that was asked for');
        for (const score of self.scores) expect(score).toBeCloseTo(1, 5);
      }),
      { numRuns: 60 },
    );
  });

  test('pairs are the diagonal of the matrix and the best matches its largest entries', async () => {
    await fc.assert(
      fc.asyncProperty(several, fc.integer({ min: 1, max: 8 }), async (a, top_k) => {
        const b = a.toReversed();
        const matrix = await similarity({ a, b });
        const pairs = await similarity({ a, b, mode: 'pairs' });
        const best = await similarity({ a, b, mode: 'top_k', top_k });
        if (matrix.mode !== 'matrix' || pairs.mode !== 'pairs' || best.mode !== 'top_k') throw new Error('mode');
        expect(pairs.scores).toEqual(matrix.scores.map((row, i) => row[i]));
        expect(best.results.map((hits) => hits.map(({ score }) => score))).toEqual(
          matrix.scores.map((row) => row.toSorted((x, y) => y - x).slice(0, top_k)),
        );
        for (const [i, hits] of best.results.entries())
          for (const { index, score } of hits) expect(score).toBe(matrix.scores[i]?.[index]);
      }),
      { numRuns: 60 },
    );
  });
});

test.each(
  [...EmbeddingType.options.map((type) => [type]), ['int8', 'ubinary'], EmbeddingType.options].map((types) => ({
    types,
  })),
)('an item of an answer in $types is taken by /similarity as it is', async ({ types }) => {
  const input = ['dog', 'running'];
  const response = await post('/embed', { input, model: STATIC, types });
  const { data } = EmbedResponse.parse(await response.json());
  const answer = await similarity({ a: data, b: input });
  if (answer.mode !== 'matrix') throw new Error('not the default mode');
  // The two directions differ enough that even their signs tell them apart.
  for (const i of [0, 1]) {
    expect(answer.scores[i]?.[i]).toBeCloseTo(1, 1);
    expect(answer.scores[i]?.[1 - i]).toBeLessThan(0.9);
    // The modality is in the item, and a score that only bits tell is an estimate.
    expect(answer.calibrated[i]?.[i] === null).toBe(types.every((type) => type.endsWith('binary')));
  }
});
