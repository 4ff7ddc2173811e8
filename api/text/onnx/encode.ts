// Texts one after the other: token ids -> rows of the quantised table -> graphs -> unit vectors of full length.
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode } from '../engine.ts';
import type { Table } from '../table.ts';
import type { RunText } from './runs.ts';

export function createOnnxEncode(table: Table, run: RunText): Encode {
  // One text per run: in WebAssembly padding costs as much as the rows it fills, and activations are quantised per run,
  // so that a text's vector would depend on its neighbours. Between runs other requests get their turn.
  return async function encodeTexts(inputs, turn) {
    const vectors: Float32Array[] = [];
    for (const ids of inputs) {
      const rows = new Float32Array(ids.length * table.width);
      ids.forEach((id, position) => {
        table.addRow(id, rows, { at: position * table.width });
      });
      const embedding = await run(rows, async (tokens) => turn?.next(tokens));
      // The graph normalises in float32, which is off by some 1e-6.
      vectors.push(cutAndNormalise(embedding, embedding.length));
    }
    return vectors;
  };
}
