// Scores of ready vectors against those of their floats, whatever type they are written in; what is refused; permits.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { embed } from '../../../../api/core/embed.ts';
import { CoreError } from '../../../../api/core/errors.ts';
import { cosine } from '../../../../api/core/similarity/scores.ts';
import {
  planSimilarity,
  type SimilarityInput,
  similarity,
  similarityPartially,
} from '../../../../api/core/similarity/similarity.ts';
import { cutAndNormalise, encodeEmbedding } from '../../../../api/core/vectors/vectors.ts';
import type { Admit } from '../../../../api/core/work.ts';
import { EmbeddingType } from '../../../../contracts/src/api/embed.ts';
import { LIMITS } from '../../../../contracts/src/api/limits.ts';
import type { VectorItem } from '../../../../contracts/src/api/similarity.ts';
import { DIMENSIONS, draw, notingEngines, SPACE, wordModel } from '../word-model.ts';

fc.configureGlobal({ seed: 20261126, numRuns: 100 });

const model = wordModel();
const score = async (asked: Omit<SimilarityInput, 'mode'>): Promise<number> => {
  const answer = await similarity(model, notingEngines(), { ...asked, mode: 'pairs' });
  if (answer.mode !== 'pairs') throw new Error('not the mode that was asked for');
  return answer.scores[0] ?? Number.NaN;
};
const ready = (vector: Float32Array, type: EmbeddingType): VectorItem => ({
  embedding: encodeEmbedding(vector, type),
  type,
  space_id: SPACE,
});
const refusal = (item: Partial<VectorItem>) =>
  score({ a: [{ embedding: [], space_id: SPACE, ...item }], b: ['dog'] }).then(
    () => 'taken',
    (error: Error) => error.message,
  );

/** How far a score may be from that of the floats. Bits: five standard deviations of the share of equal signs. */
const TOLERANCE: Record<EmbeddingType, (dimensions: number) => number> = {
  float: () => 1e-6,
  base64: () => 1e-6,
  int8: () => 0.02,
  uint8: () => 0.02,
  binary: (dimensions) => (5 * Math.PI) / 2 / Math.sqrt(dimensions),
  ubinary: (dimensions) => (5 * Math.PI) / 2 / Math.sqrt(dimensions),
};
const anyType = fc.constantFrom(...EmbeddingType.options);

describe('ready vectors', () => {
  test('of any two types are scored as their floats are', async () => {
    const likeness = fc.double({ min: -1, max: 1, noNaN: true });
    const seed = fc.integer({ min: 1, max: 1e6 });
    const lengths = fc.constantFrom(512, 128, 100);
    await fc.assert(
      fc.asyncProperty(seed, likeness, anyType, anyType, lengths, async (from, share, one, other, dimensions) => {
        const [x, noise] = [draw(from, dimensions), draw(from + 1, dimensions)];
        const y = x.map((value, i) => share * value + (1 - Math.abs(share)) * (noise[i] ?? 0));
        const [a, b] = [cutAndNormalise(x, dimensions), cutAndNormalise(y, dimensions)];
        const expected = await score({ a: [ready(a, 'float')], b: [ready(b, 'float')] });
        const tolerance = Math.max(TOLERANCE[one](dimensions), TOLERANCE[other](dimensions));
        const got = await score({ a: [ready(a, one)], b: [ready(b, other)], dimensions });
        expect(Math.abs(got - expected), `${one} ${other} ${expected} ${got}`).toBeLessThanOrEqual(tolerance);
      }),
    );
  });

  test.each(EmbeddingType.options)('of type %s score 1 with their own text and less with another', async (type) => {
    const { embedded } = await embed(model, notingEngines(), { input: ['a big dog'] });
    const [{ embedding } = { embedding: new Float32Array() }] = embedded;
    expect(await score({ a: [ready(embedding, type)], b: ['a big dog'] })).toBeCloseTo(1, 2);
    expect(await score({ a: [ready(embedding, type)], b: ['the red boat'] })).toBeLessThan(0.7);
  });

  test('of bits are compared with floats by how large these are', () => {
    const embedding = cutAndNormalise([3, ...Array(63).fill(1)], 64);
    const signs = { isBits: true, embedding: cutAndNormalise([-1, ...Array(63).fill(1)], 64) };
    // 63 agreeing numbers of 1 against a 3 that does not agree.
    expect(cosine({ embedding }, signs)).toBeCloseTo((63 - 3) / (63 + 3), 6);
    expect(cosine(signs, { embedding })).toBe(cosine({ embedding }, signs));
    // One of 64 signs differs, which is an angle of 180 / 64 degrees.
    expect(cosine({ ...signs, embedding }, signs)).toBeCloseTo(Math.cos(Math.PI / 64), 6);
  });

  test.each(EmbeddingType.options)('of type %s have a calibrated score unless they are bits', async (type) => {
    const item = { ...ready(cutAndNormalise(draw(4), DIMENSIONS), type), modality: 'text' as const };
    const answer = await similarity(model, notingEngines(), { a: [item], b: ['dog'], mode: 'pairs' });
    expect(answer).toMatchObject({ calibrated: [type.endsWith('binary') ? null : expect.any(Number)] });
  });

  test('count their dimensions in bits where they are bits, and are cut like any other', async () => {
    const vector = ready(cutAndNormalise(draw(1), DIMENSIONS), 'ubinary');
    expect(vector.embedding).toHaveLength(DIMENSIONS / 8);
    const whole = await similarity(model, notingEngines(), { a: [vector], b: ['dog'] });
    const cut = await similarity(model, notingEngines(), { a: [vector], b: ['dog'], dimensions: 64 });
    expect([whole.dimensions, cut.dimensions]).toEqual([DIMENSIONS, 64]);
  });

  test.each(['int8', 'uint8', 'binary', 'ubinary'] as const)(
    'of type %s are refused when they do not say so',
    async (type) => {
      const { embedding } = ready(cutAndNormalise(draw(3), DIMENSIONS), type);
      expect(await refusal({ embedding })).toMatch(/a\.0 holds whole numbers only.*Send its type.*uint8/);
      expect(await refusal({ embedding, type })).toBe('taken');
    },
  );

  test('of whole numbers are floats where they are a unit vector or say so', async () => {
    const axis: number[] = Array.from({ length: 64 }, (_, i) => (i === 5 ? 1 : 0));
    expect(await refusal({ embedding: axis })).toBe('taken');
    expect(await refusal({ embedding: axis.fill(3), type: 'float' })).toBe('taken');
  });

  test.each([
    ['numbers outside of their type', { embedding: Array(512).fill(200), type: 'int8' as const }],
    ['fractions as bytes', { embedding: Array(512).fill(0.5), type: 'uint8' as const }],
    ['a string as floats', { embedding: 'AACAPw==', type: 'float' as const }],
    ['a list as base64', { embedding: Array(512).fill(0.5), type: 'base64' as const }],
  ])('are refused: %s', async (_, item) => {
    expect(await refusal(item)).toContain(`a.0 is not a vector of type ${item.type}`);
  });

  test('as an object by type are read in the most exact one, or in the one that they name', async () => {
    const vector = cutAndNormalise(draw(9), DIMENSIONS);
    const other = cutAndNormalise(draw(10), DIMENSIONS);
    const write = (type: EmbeddingType, of = vector) => encodeEmbedding(of, type) as number[];
    const embedding = { int8: write('int8'), ubinary: write('ubinary', other) };
    const against = ready(vector, 'float');
    expect(await score({ a: [{ embedding, space_id: SPACE }], b: [against] })).toBeGreaterThan(0.99);
    expect(await score({ a: [{ embedding, type: 'ubinary', space_id: SPACE }], b: [against] })).toBeLessThan(0.5);
    expect(await refusal({ embedding, type: 'uint8' })).toContain('holds no vector of type uint8');
  });
});

describe('one request', () => {
  const png = Uint8Array.from([
    0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 5, 0, 0, 0, 5,
  ]);

  test('takes one permit for the texts of both sides and makes one call for their images', async () => {
    const engines = notingEngines();
    const { usage } = await similarity(model, engines, {
      a: ['a dog', { image: png }],
      b: [{ text: 'a cat' }, { image: png }],
    });
    expect(engines.permits).toEqual([usage.total_tokens]);
    expect(engines.files).toEqual([png, png]);
  });

  test('lets others have their turn between many scores, which are the same', async () => {
    const side = Array.from({ length: 80 }, (_, i) => ready(cutAndNormalise(draw(i + 1), DIMENSIONS), 'float'));
    const turns: number[] = [];
    const admit: Admit = (_, work) => work({ next: async (units) => void turns.push(units) });
    const many = await similarity(model, { ...notingEngines(), admit }, { a: side, b: side });
    expect(turns.length).toBeGreaterThan(1);
    expect(turns.reduce((sum, units) => sum + units)).toBe(80 * 80 * DIMENSIONS);
    const last = await similarity(model, notingEngines(), { a: side.slice(79), b: side });
    if (many.mode !== 'matrix' || last.mode !== 'matrix') throw new Error('not the mode that was asked for');
    expect(many.scores[79]).toEqual(last.scores[0]);
    expect(many.scores).toHaveLength(80);
  });

  test('has as many images on both sides as a request may hold, which a dry run says, too', async () => {
    const images = (count: number) => Array.from({ length: count }, () => ({ image: png }));
    const engines = notingEngines();
    await similarity(model, engines, { a: images(12), b: images(LIMITS.images - 12) });
    expect(engines.files).toHaveLength(LIMITS.images);
    const asked = { a: images(12), b: [{ text: 'a dog', image: png }, ...images(LIMITS.images - 12)] };
    const refused = {
      code: 'too_many_items',
      message: 'a and b together may hold 32 images, parts of items counted; 33 were sent.',
      details: { param: 'b' },
    };
    await expect(similarity(model, engines, asked)).rejects.toMatchObject(refused);
    await expect(similarityPartially(model, engines, asked)).rejects.toMatchObject(refused);
    await expect(planSimilarity({ model, admit: engines.admit }, asked)).rejects.toMatchObject(refused);
    expect(engines.files).toHaveLength(LIMITS.images);
  });

  test('computes nothing before both sides were read', async () => {
    const engines = notingEngines();
    await expect(similarity(model, engines, { a: ['a dog', { image: png }], b: ['a cat', ' '] })).rejects.toMatchObject(
      {
        code: 'empty_input',
        details: { param: 'b.1', item: 1 },
      },
    );
    expect([engines.permits, engines.files]).toEqual([[], []]);
  });

  test('names the image that the encoder refuses by its side', async () => {
    const images = async (files: Uint8Array[]) => files.map(() => new CoreError('broken_image', 'it is cut off.'));
    const vector = ready(cutAndNormalise(draw(2), DIMENSIONS), 'float');
    const asked = { a: ['a dog'], b: [vector, { image: png }] };
    await expect(similarity(model, { ...notingEngines(), images }, asked)).rejects.toMatchObject({
      message: 'b.1: it is cut off.',
      details: { param: 'b.1', item: 1 },
    });
  });
});
