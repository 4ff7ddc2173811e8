// The static tier: the mean of the rows of a text's known tokens at unit length. No graph, no WebAssembly.
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode } from '../engine.ts';
import type { Table } from '../table.ts';

/** `unknown`: id of the token that stands for what the vocabulary does not have; its row says nothing of the text. */
export function createStaticEncode(table: Table, unknown: number): Encode {
  return async function encodeStatically(inputs, turn) {
    const vectors: Float32Array[] = [];
    for (const ids of inputs) {
      await turn?.next(ids.length);
      const sum = new Float32Array(table.width);
      for (const id of ids) if (id !== unknown) table.addRow(id, sum, 0);
      // Dividing by the count first would change nothing, because the result is brought to unit length.
      vectors.push(cutAndNormalise(sum, table.width));
    }
    return vectors;
  };
}
