// The static tier: the mean of a text's token rows at unit length. No graph, no WebAssembly.
import { cutAndNormalise } from '../../core/vectors.ts';
import type { Encoder, Table, TokenIds } from '../onnx/encoder.ts';

export function createStaticEncoder(table: Table): Encoder<TokenIds> {
  return async function encodeStatically(inputs) {
    return inputs.map((ids) => {
      const sum = new Float32Array(table.width);
      for (const id of ids) table.addRow(id, sum, 0);
      // Dividing by the count first would change nothing: the length is taken out anyway.
      return cutAndNormalise(sum, table.width);
    });
  };
}
