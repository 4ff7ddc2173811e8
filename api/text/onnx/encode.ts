// Texts one after the other: token ids -> rows of the quantised table -> graphs -> unit vectors of full length.
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode } from '../engine.ts';
import type { Table } from '../table.ts';
import type { RunText } from './runs.ts';

/** Other requests get their turn after this many tokens, which take about 20 ms. */
const TURN_TOKENS = 32;

/** `pause` lets other requests run. */
export function createOnnxEncode(table: Table, run: RunText, pause: () => Promise<void>): Encode {
  // One text per run: in WebAssembly padding costs as much as the rows it fills, and activations are quantised per run,
  // so that a text's vector would depend on its neighbours. Between runs other requests get their turn. There is no pause
  // after each short run: a timer of 0 takes a millisecond, a tenth of what 16 tokens take.
  return async function encodeTexts(inputs, signal) {
    let tokens = 0;
    async function turn(work: number): Promise<void> {
      if (tokens > 0 && tokens + work > TURN_TOKENS) {
        await pause();
        tokens = 0;
      }
      // After the pause, because the client may have gone away during it.
      signal?.throwIfAborted();
      tokens += work;
    }
    const vectors: Float32Array[] = [];
    for (const ids of inputs) {
      const rows = new Float32Array(ids.length * table.width);
      ids.forEach((id, position) => {
        table.addRow(id, rows, position * table.width);
      });
      const embedding = await run(rows, turn);
      // The graph normalises in float32, which is off by some 1e-6.
      vectors.push(cutAndNormalise(embedding, embedding.length));
    }
    return vectors;
  };
}
