// A transformer whose vectors are added to those of the static tier: the sum of both at unit length.
import { cutAndNormalise } from '../core/vectors/vectors.ts';
import type { Encode } from './engine.ts';

export interface SumOptions {
  static: Encode;
  /** What a vector of the static tier is multiplied with. */
  weight: number;
}

export function addStatic(transformer: Encode, { static: fast, weight }: SumOptions): Encode {
  return async function encodeSum(inputs, turn) {
    // It takes microseconds, so that it needs no turns of its own; what it has to read is read meanwhile.
    const [vectors, others] = await Promise.all([transformer(inputs, turn), fast(inputs)]);
    return vectors.map((vector, index) => {
      const other = others[index];
      // A text of unknown tokens only has no vector of its own in the static tier.
      if (!other || Number.isNaN(other[0])) return vector;
      return cutAndNormalise(
        vector.map((value, i) => value + weight * (other[i] ?? 0)),
        vector.length,
      );
    });
  };
}
