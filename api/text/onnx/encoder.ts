// The student text tower: token ids -> rows of the quantised table -> ONNX graph -> unit vectors of full length.
import * as ort from 'onnxruntime-web/wasm';
import type { QuantizedTable } from '../../../contracts/src/model/manifest.ts';
import { sleep } from '../../worker/isolate/lease.ts';
import type { TextSession } from './session.ts';

/** What turns inputs into vectors; another engine, a remote service and a test's stand-in all fit behind it. */
export type Encoder<I> = (inputs: I[]) => Promise<Float32Array[]>;

/** A sequence of token ids, special tokens included where the tower wants them. */
export type TokenIds = number[];

/** Rows of int8 with a float32 scale each, as QuantizedTable lays them out in one file. */
export interface Table {
  /** Adds row `id`, times its scale, onto `target` from `offset` on. */
  addRow(id: number, target: Float32Array, offset: number): void;
  width: number;
}

export function openTable({ rows, width }: QuantizedTable, file: ArrayBuffer): Table {
  if (file.byteLength !== rows * width + rows * 4) {
    throw new Error(`a table of ${rows} x ${width} has ${rows * width + rows * 4} bytes, not ${file.byteLength}`);
  }
  const values = new Int8Array(file, 0, rows * width);
  const scales = new Float32Array(file.slice(rows * width));
  return {
    width,
    addRow(id, target, offset) {
      const scale = scales[id];
      if (scale === undefined) throw new RangeError(`token ${id} is outside the table of ${rows} rows`);
      const from = id * width;
      for (let i = 0; i < width; i++) target[offset + i] = (target[offset + i] ?? 0) + (values[from + i] ?? 0) * scale;
    },
  };
}

/** So many tokens, some 40 ms, are run before other requests get their turn. */
const TURN_TOKENS = 64;

export function openTextEncoder(table: Table, session: TextSession): Encoder<TokenIds> {
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
    return data.slice();
  }

  // One row a run: padding costs in wasm what rows cost, and activations are quantised per run, so that a text's vector
  // would depend on its neighbours. Between runs other requests get their turn (and are refused when there are many), but
  // not after each short one: a timer of 0 takes a millisecond, a tenth of 16 tokens.
  return async function encodeTexts(inputs) {
    const vectors: Float32Array[] = [];
    let tokens = 0;
    for (const ids of inputs) {
      if (tokens > 0 && tokens + ids.length > TURN_TOKENS) {
        await sleep(0);
        tokens = 0;
      }
      tokens += ids.length;
      vectors.push(await run(ids));
    }
    return vectors;
  };
}
