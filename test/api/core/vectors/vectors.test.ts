// Vectors in whole numbers against sentence-transformers' own: its numbers, and its scores of them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { similarity } from '../../../../api/core/similarity/similarity.ts';
import { encodeEmbedding } from '../../../../api/core/vectors/vectors.ts';
import { notingEngines, SPACE, wordModel } from '../word-model.ts';

const TYPES = ['int8', 'uint8', 'binary', 'ubinary'] as const;
type Type = 'float' | (typeof TYPES)[number];
const FILE = join(import.meta.dirname, '../../../../contracts/vectors/embedding/quantised.json');
interface Golden extends Record<Type | 'cosine' | 'cosine_int8' | 'hamming', number[][]> {
  int8_scale: number;
}
const vectors: Golden = JSON.parse(readFileSync(FILE, 'utf8'));
const quantisation = { int8Scale: vectors.int8_scale, bits: 'signs' as const };
const model = wordModel();

async function scores(a: Type, b: Type): Promise<number[][]> {
  const side = (type: Type) => vectors[type].map((embedding) => ({ embedding, type, space_id: SPACE }));
  const answer = await similarity(model, notingEngines(), { a: side(a), b: side(b) });
  return answer.mode === 'matrix' ? answer.scores : [];
}
/** From the share of equal signs, as SimHash has it. */
const ofHamming = (distance: number) => Math.cos((Math.PI * distance) / (vectors.float[0]?.length ?? 0));

describe('sentence-transformers', () => {
  test.each(TYPES)('writes the same %s', (type) => {
    const ours = vectors.float.map((vector) => encodeEmbedding(Float32Array.from(vector), type, quantisation));
    expect(ours).toEqual(vectors[type]);
  });

  test.each([
    ['float', 'float', vectors.cosine],
    ['int8', 'int8', vectors.cosine_int8],
    ['uint8', 'uint8', vectors.cosine_int8],
    ['int8', 'uint8', vectors.cosine_int8],
    ['binary', 'binary', vectors.hamming.map((row) => row.map(ofHamming))],
    ['ubinary', 'binary', vectors.hamming.map((row) => row.map(ofHamming))],
  ] as [Type, Type, number[][]][])('scores %s against %s as we do', async (a, b, expected) => {
    const got = await scores(a, b);
    expect(got).toHaveLength(expected.length);
    for (const [i, row] of got.entries()) {
      for (const [j, score] of row.entries()) expect(score).toBeCloseTo(expected[i]?.[j] ?? Number.NaN, 5);
    }
  });
});
