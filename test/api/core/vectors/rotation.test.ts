// Bits of rotated vectors against SciPy's Hadamard matrices and sentence-transformers' own, and what /similarity makes of them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { embed } from '../../../../api/core/embed.ts';
import { listModels, type Model } from '../../../../api/core/model.ts';
import { type SimilarityInput, similarity } from '../../../../api/core/similarity/similarity.ts';
import { cutAndNormalise, encodeEmbedding } from '../../../../api/core/vectors/vectors.ts';
import type { EmbeddingType } from '../../../../contracts/src/api/embed.ts';
import type { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import { draw, notingEngines, SPACE, wordModel } from '../word-model.ts';

const FILE = join(import.meta.dirname, '../../../../contracts/vectors/embedding/rotated.json');
type Golden = Record<'float' | 'binary' | 'ubinary' | 'hamming' | 'agreement', number[][]>;
const { cases }: { cases: Golden[] } = JSON.parse(readFileSync(FILE, 'utf8'));
const byLength = cases.map((golden): [number, Golden] => [golden.float[0]?.length ?? 0, golden]);

function modelOf(quantisation: ModelManifest['quantisation']): Model {
  const model = wordModel();
  return { ...model, manifest: { ...model.manifest, quantisation } };
}
const rotated = modelOf({ int8_scale: 127, bits: 'rotated' });

async function scores(asked: SimilarityInput, model = rotated): Promise<number[][]> {
  const answer = await similarity(model, notingEngines(), asked);
  return answer.mode === 'matrix' ? answer.scores : [];
}
const items = (vectors: number[][] | undefined, type: EmbeddingType) =>
  (vectors ?? []).map((embedding) => ({ embedding, type, space_id: SPACE }));
function expectClose(got: number[][], expected: number[][]): void {
  expect(got.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  for (const [i, row] of got.entries()) {
    for (const [j, score] of row.entries()) expect(score).toBeCloseTo(expected[i]?.[j] ?? Number.NaN, 5);
  }
}

describe.each(byLength)('of %i numbers', (dimensions, golden) => {
  test.each(['binary', 'ubinary'] as const)('%s is what the libraries write of the rotated vector', (type) => {
    const ours = golden.float.map((vector) =>
      encodeEmbedding(Float32Array.from(vector), type, { int8Scale: 127, bits: 'rotated' }),
    );
    expect(ours).toEqual(golden[type]);
  });

  test('bits agree with floats as with rotated floats, on either side', async () => {
    const [bits, floats] = [items(golden.ubinary, 'ubinary'), items(golden.float, 'float')];
    expectClose(await scores({ a: bits, b: floats, dimensions }), golden.agreement);
    const turned = golden.agreement.map((row, i) => row.map((_, j) => golden.agreement[j]?.[i] ?? Number.NaN));
    expectClose(await scores({ a: floats, b: bits, dimensions }), turned);
  });

  test('bits with bits are scored by how many differ', async () => {
    const angles = golden.hamming.map((row) => row.map((differ) => Math.cos((Math.PI * differ) / dimensions)));
    const [binary, ubinary] = [items(golden.binary, 'binary'), items(golden.ubinary, 'ubinary')];
    expectClose(await scores({ a: binary, b: ubinary, dimensions }), angles);
  });
});

/** As a space on its principal axes: the last of its 512 numbers are next to nothing. */
const onAxes = (seed: number) =>
  cutAndNormalise(
    draw(seed).map((value, i) => value * Math.exp(-i / 12)),
    512,
  );
const query = onAxes(1);
const others = Array.from({ length: 40 }, (_, i) => {
  const [share, noise] = [1 - i / 39, onAxes(i + 2)];
  return cutAndNormalise(
    query.map((value, j) => share * value + Math.sqrt(1 - share ** 2) * (noise[j] ?? 0)),
    512,
  );
});
const asFloats = (vectors: Float32Array[]) =>
  items(
    vectors.map((vector) => Array.from(vector)),
    'float',
  );
const asBits = (vectors: Float32Array[], bits: 'rotated' | 'signs') =>
  items(
    vectors.map((vector) => encodeEmbedding(vector, 'ubinary', { int8Scale: 127, bits }) as number[]),
    'ubinary',
  );
/** How far scores are from those of floats, and whether clearly different ones are in the same order. */
async function against(bits: 'rotated' | 'signs', a: SimilarityInput['a']) {
  const [exact = []] = await scores({ a: asFloats([query]), b: asFloats(others) });
  const model = modelOf({ int8_scale: 127, bits });
  const [found = []] = await scores({ a, b: asBits(others, bits) }, model);
  const pairs = exact.flatMap((score, i) =>
    exact.map((other, j) => [score - other, (found[i] ?? 0) - (found[j] ?? 0)]),
  );
  return {
    error: Math.sqrt(exact.reduce((sum, score, i) => sum + (score - (found[i] ?? Number.NaN)) ** 2, 0) / exact.length),
    isOrdered: pairs.every(([clear = 0, seen = 0]) => clear < 0.25 || seen > 0),
  };
}

test('rotated bits order vectors as their floats do where plain signs do not, against floats and bits', async () => {
  for (const queryOf of [() => asFloats([query]), (bits: 'rotated' | 'signs') => asBits([query], bits)]) {
    const rotatedBits = await against('rotated', queryOf('rotated'));
    const signs = await against('signs', queryOf('signs'));
    expect([rotatedBits.isOrdered, signs.isOrdered]).toEqual([true, false]);
    expect(rotatedBits.error).toBeLessThan(0.06);
    expect(signs.error).toBeGreaterThan(2 * rotatedBits.error);
  }
});

describe('a model', () => {
  const text = 'a big dog';
  test('takes texts and bits of it to be the same, at any length', async () => {
    for (const dimensions of [512, 100, 64, 3]) {
      const { embedded, quantisation } = await embed(rotated, notingEngines(), { input: [text], dimensions });
      const bits = encodeEmbedding(embedded[0]?.embedding ?? new Float32Array(), 'binary', quantisation) as number[];
      expect(await scores({ a: [text], b: items([bits], 'binary'), dimensions })).toEqual([[expect.closeTo(1, 5)]]);
    }
  });

  test('refuses rotated bits at a length that is not theirs, and takes plain ones', async () => {
    const bits = items([Array(64).fill(170)], 'ubinary');
    const cut = (model: Model) => scores({ a: bits, b: [text], dimensions: 64 }, model);
    await expect(cut(rotated)).rejects.toMatchObject({
      code: 'dimension_mismatch',
      message: expect.stringMatching(/a\.0 has 512 bits.*cannot be cut to 64.*Embed it with "dimensions": 64/),
      details: { param: 'a.0' },
    });
    expect(await cut(modelOf({ int8_scale: 127, bits: 'signs' }))).toEqual([[expect.any(Number)]]);
    const short = items([Array(8).fill(170)], 'ubinary');
    await expect(scores({ a: bits, b: short })).rejects.toMatchObject({ details: { param: 'a.0' } });
  });

  test('writes plain signs where its manifest does not say, and tells which it writes', async () => {
    const stated = [
      undefined,
      { int8_scale: 100 },
      { int8_scale: 100, bits: 'signs' as const },
      rotated.manifest.quantisation,
    ];
    const written = await Promise.all(
      stated.map(async (quantisation) => {
        const model = modelOf(quantisation);
        const { embedded, quantisation: own } = await embed(model, notingEngines(), { input: [text] });
        const vector = embedded[0]?.embedding ?? new Float32Array();
        const first = Array.from(vector.subarray(0, 8)).reduce((byte, x) => byte * 2 + (x > 0 ? 1 : 0), 0);
        const [byte] = encodeEmbedding(vector, 'ubinary', own) as number[];
        return { bits: listModels(model).data[0]?.bits, isPlain: byte === first };
      }),
    );
    const plain = { bits: 'signs', isPlain: true };
    expect(written).toEqual([plain, plain, plain, { bits: 'rotated', isPlain: false }]);
  });
});
