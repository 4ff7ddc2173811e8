// One text through the student's graphs: in one run of the whole graph, or in many short ones of its partition.
import * as ort from 'onnxruntime-web/wasm';
import type { TextSession } from './session.ts';

/** Asked before a run that does the work of that many tokens; others may get their turn meanwhile. */
export type Turn = (tokens: number) => Promise<void>;

/** `rows`: token embeddings [T, width]. Gives an embedding of full length, at unit length up to float32 rounding. */
export type RunText = (rows: Float32Array, turn: Turn) => Promise<Float32Array>;

export function runWhole(session: TextSession, width: number): RunText {
  const isInt64 = session.inputMetadata.some(
    (input) => input.name === 'attention_mask' && 'type' in input && input.type === 'int64',
  );
  return async function run(rows, turn) {
    const length = rows.length / width;
    await turn(length);
    const shape = [1, length];
    const mask = isInt64
      ? new ort.Tensor('int64', new BigInt64Array(length).fill(1n), shape)
      : new ort.Tensor('float32', new Float32Array(length).fill(1), shape);
    const inputs = new ort.Tensor('float32', rows, [...shape, width]);
    return floats(await session.run({ inputs_embeds: inputs, attention_mask: mask }), 'embedding');
  };
}

export interface PartitionOptions {
  /** Values of a token's row. */
  width: number;
  /** Values of a state between two layers. */
  inner: number;
  /** Tokens that one run computes at most. */
  rows: number;
}

/** Rows of one chunk between two layers. */
interface Chunk {
  y: Float32Array;
  q: Float32Array;
}

/**
 * Layer by layer, each in chunks of rows; a layer's keys and values are complete before its first chunk. `sessions`:
 * first, one per layer but the last, last, head, as trainer/towers/graph_partition.py defines them.
 */
export function runInParts(sessions: TextSession[], { width, inner, rows: step }: PartitionOptions): RunText {
  const [first, ...layers] = sessions;
  const head = layers.pop();
  if (!first || !head || layers.length === 0) throw new Error('a partition has a first graph, layers and a head');
  const tensor = (data: Float32Array, size = inner) => new ort.Tensor('float32', data, [1, data.length / size, size]);

  return async function run(rows, turn) {
    const length = rows.length / width;
    const starts = Array.from({ length: Math.ceil(length / step) }, (_, index) => index * step);
    /** Each run but those of the first graph and the head is one layer of its rows. */
    const turnOf = (tokens: number) => turn(tokens / layers.length);
    let keys = new Float32Array(length * inner);
    let values = new Float32Array(length * inner);
    const chunks: Chunk[] = [];
    for (const start of starts) {
      const embeds = rows.subarray(start * width, (start + step) * width);
      await turnOf(embeds.length / width);
      const at = new ort.Tensor('int64', BigInt64Array.of(BigInt(start)), [1]);
      const output = await first.run({ inputs_embeds: tensor(embeds, width), start: at });
      chunks.push({ y: floats(output, 'y'), q: floats(output, 'q.out') });
      keys.set(floats(output, 'k.out'), start * inner);
      values.set(floats(output, 'v.out'), start * inner);
    }
    const total = new Float32Array(inner);
    for (const [number, layer] of layers.entries()) {
      const isLast = number === layers.length - 1;
      const next = { keys: new Float32Array(keys.length), values: new Float32Array(values.length) };
      for (const [index, start] of starts.entries()) {
        const { y, q } = chunks[index] as Chunk;
        await turnOf(y.length / inner);
        const feeds = { x: tensor(y), q: tensor(q), keys: tensor(keys), values: tensor(values) };
        const output = await layer.run(feeds);
        if (isLast) add(total, floats(output, 'total'));
        else {
          chunks[index] = { y: floats(output, 'y'), q: floats(output, 'q.out') };
          next.keys.set(floats(output, 'k.out'), start * inner);
          next.values.set(floats(output, 'v.out'), start * inner);
        }
      }
      ({ keys, values } = next);
    }
    const pooled = new ort.Tensor(
      'float32',
      total.map((sum) => sum / length),
      [1, inner],
    );
    return floats(await head.run({ pooled }), 'embedding');
  };
}

function add(sum: Float32Array, more: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (more[i] ?? 0);
}

function floats(outputs: ort.InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`the text graph has no float32 output named ${name}`);
  return data;
}
