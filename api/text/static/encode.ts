// The static tier: the mean of the rows of a text's known tokens at unit length. No graph, no WebAssembly.
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode } from '../engine.ts';
import type { Table } from '../table.ts';

export interface StaticOptions {
  /** Ids whose rows say nothing of a text: special tokens, and the one that stands for what the vocabulary does not have. */
  silent: readonly number[];
  /** What a sum of rows is multiplied with. Absent: the sum is the vector. */
  projection?: Table | undefined;
}

export function createStaticEncode(table: Table, { silent, projection }: StaticOptions): Encode {
  const isSilent = new Set(silent);
  return async function encodeStatically(inputs, turn) {
    const vectors: Float32Array[] = [];
    for (const ids of inputs) {
      await turn?.next(ids.length);
      const sum = new Float32Array(table.width);
      for (const id of ids) if (!isSilent.has(id)) table.addRow(id, sum);
      // Dividing by the count first would change nothing, because the result is brought to unit length.
      const whole = projection ? projection.product(sum) : sum;
      vectors.push(cutAndNormalise(whole, whole.length));
    }
    return vectors;
  };
}
