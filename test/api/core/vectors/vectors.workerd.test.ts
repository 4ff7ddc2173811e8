// Vectors on their way out, in workerd: cut, normalised, and written byte for byte as NumPy writes them.
import { describe, expect, test } from 'vitest';
import { fromBase64 } from '../../../../api/core/vectors/base64.ts';
import { cutAndNormalise, encodeEmbedding, fromFloat32Bytes } from '../../../../api/core/vectors/vectors.ts';
import { EmbeddingType } from '../../../../contracts/src/api/embed.ts';
import vectors from '../../../../contracts/vectors/embedding/encodings.json';

describe('a vector is written byte for byte as NumPy writes it', () => {
  test.each(vectors.cases)('$name', (vector) => {
    const ours = Object.fromEntries(
      EmbeddingType.options.map((type) => [type, encodeEmbedding(Float32Array.from(vector.float), type)]),
    );
    // Zeros keep their sign as numbers, which toEqual tells apart, and lose it as integers.
    const { name: _, ...expected } = vector;
    expect(ours).toEqual(expected);
    expect(fromFloat32Bytes(fromBase64(vector.base64))).toEqual(Float32Array.from(vector.float));
  });

  test('cutting comes before the unit length', () => {
    const cut = cutAndNormalise([3, 4, 12], 2);
    expect(Array.from(cut)).toEqual([Math.fround(0.6), Math.fround(0.8)]);
    expect(Array.from(cutAndNormalise([1, 2], 3))).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  });
});
