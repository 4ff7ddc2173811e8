// Runs the student's ONNX graph: token ids -> rows of the quantised table -> graph -> unit vectors of full length.
import * as ort from 'onnxruntime-web/wasm';
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode, TokenIds } from '../engine.ts';
import type { Table } from '../table.ts';
import type { TextSession } from './session.ts';

/** Other requests get their turn after this many tokens, which take about 40 ms. */
const TURN_TOKENS = 64;

/** `pause` lets other requests run. */
export function createOnnxEncode(table: Table, session: TextSession, pause: () => Promise<void>): Encode {
  const isInt64 = session.inputMetadata.some(
    (input) => input.name === 'attention_mask' && 'type' in input && input.type === 'int64',
  );

  async function run(ids: TokenIds): Promise<Float32Array> {
    const shape = [1, ids.length];
    const embeds = new Float32Array(ids.length * table.width);
    ids.forEach((id, position) => {
      table.addRow(id, embeds, position * table.width);
    });
    const mask = isInt64
      ? new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape)
      : new ort.Tensor('float32', new Float32Array(ids.length).fill(1), shape);
    const inputs = new ort.Tensor('float32', embeds, [...shape, table.width]);
    const { embedding } = await session.run({ inputs_embeds: inputs, attention_mask: mask });
    const data = embedding?.data;
    if (!(data instanceof Float32Array)) throw new Error('the text graph has no float32 output named embedding');
    // The graph normalises in float32, which is off by some 1e-6.
    return cutAndNormalise(data, data.length);
  }

  // One text per run: in WebAssembly padding costs as much as the rows it fills, and activations are quantised per run,
  // so that a text's vector would depend on its neighbours. Between runs other requests get their turn, and are refused
  // when there are too many. There is no pause after each short text: a timer of 0 takes a millisecond, a tenth of what
  // 16 tokens take.
  return async function encodeTexts(inputs, signal) {
    const vectors: Float32Array[] = [];
    let tokens = 0;
    for (const ids of inputs) {
      if (tokens > 0 && tokens + ids.length > TURN_TOKENS) {
        await pause();
        tokens = 0;
      }
      // After the pause, because the client may have gone away during it.
      signal?.throwIfAborted();
      tokens += ids.length;
      vectors.push(await run(ids));
    }
    return vectors;
  };
}
