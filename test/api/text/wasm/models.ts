// The embedded model in this engine, and what it is compared with: onnxruntime-node, and a slow reference in double precision.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { OpenTextEngine } from '../../../../api/text/engine.ts';
import { openTable } from '../../../../api/text/table.ts';
import { createWasmEngine } from '../../../../api/text/wasm/engine.ts';
import { bytesOf, readOnnx } from '../../../../api/text/wasm/onnx-file.ts';
import { ModelManifest, type TextTower } from '../../../../contracts/src/model/manifest.ts';
import { textTowers } from '../../../../contracts/src/model/towers.ts';

const MODEL = join(import.meta.dirname, '../../../../api/model');
const WASM = join(import.meta.dirname, '../../../../api/text/wasm');
export const MODULES = ['encoder.wasm', 'encoder.relaxed.wasm'];

const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(MODEL, 'manifest.json'), 'utf8')));
export const towers = textTowers(manifest) as Record<'student' | 'tiny', TextTower>;
export const IMAGE = manifest.image.graph;

export const read = async ({ path }: { path: string }) => Uint8Array.from(readFileSync(join(MODEL, path))).buffer;

/** A file in chunks: the same buffer for every chunk, as workerd's reader has it; sizes are taken in turns. */
export async function* cut(file: Uint8Array, sizes: number[]): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.max(...sizes));
  for (let [at, turn] = [0, 0]; at < file.length; turn++) {
    const size = Math.min(sizes[turn % sizes.length] ?? 1, file.length - at);
    buffer.set(file.subarray(at, at + size));
    yield buffer.subarray(0, size);
    buffer.fill(0);
    at += size;
  }
}

/** The types of this folder are workerd's, where no module is made from bytes. */
export function moduleOf(file: string): WebAssembly.Module {
  return Reflect.construct(WebAssembly.Module, [readFileSync(join(WASM, file))]);
}

export function open(tower: TextTower, file: string): Promise<OpenTextEngine> {
  return createWasmEngine({ module: moduleOf(file) }).open(tower, read);
}

/** Ids of ordinary tokens between the first and the last one; other ones for another `seed`. */
export function idsOf(length: number, seed = 1): number[] {
  const inner = Array.from({ length: Math.max(0, length - 2) }, (_, i) => 1000 + ((i * 7919 + seed * 3571) % 20_000));
  return [2, ...inner, 3].slice(0, length);
}

/** The int8 graph in onnxruntime, one text a run. */
export async function openOnnx(tower: TextTower): Promise<(ids: number[]) => Promise<Float32Array>> {
  const session = await InferenceSession.create(join(MODEL, tower.graph.file.path), { intraOpNumThreads: 1 });
  const table = openTable(tower.table, await read(tower.table.file));
  return async (ids) => {
    const rows = new Float32Array(ids.length * table.width);
    for (const [at, id] of ids.entries()) table.addRow(id, rows, { at: at * table.width });
    const { embedding } = await session.run({
      inputs_embeds: new Tensor('float32', rows, [1, ids.length, table.width]),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), [1, ids.length]),
    });
    return embedding?.data as Float32Array;
  };
}

// ------------------------------------------------------------------ reference

type Rows = Float64Array<ArrayBuffer>[];

/**
 * A student by its definition, in double precision and with activations as they are: post-norm layers, mean pooling,
 * projection. Weights are the numbers that the int8 ones stand for.
 */
export async function openReference(tower: TextTower, heads: number): Promise<(ids: number[]) => Float64Array> {
  const weights = tower.graph.weights ? new Uint8Array(await read(tower.graph.weights.file)) : undefined;
  const file = readOnnx(new Uint8Array(await read(tower.graph.file)));
  const weight = (name: string) => {
    const tensor = file.tensors.get(name);
    return tensor ? bytesOf(tensor, weights) : new Uint8Array();
  };
  const table = openTable(tower.table, await read(tower.table.file));
  const layers = file.nodes.filter(({ op }) => op === 'MultiHeadAttention').length;
  const floats = (name: string) => new Float32Array(Uint8Array.from(weight(name)).buffer);
  const linears = new Map<string, { columns: Rows; bias: Float32Array }>();
  const linear = (x: Rows, name: string): Rows => {
    const { columns, bias } = linears.get(name) ?? {
      columns: columnsOf(weight(`${name}.weight`), floats(`${name}.scale`)),
      bias: floats(`${name}.bias`),
    };
    linears.set(name, { columns, bias });
    return x.map((row) => Float64Array.from(columns, (column, n) => product(row, column) + (bias[n] ?? 0)));
  };
  const norm = (x: Rows, name: string): Rows => {
    const [gain, bias] = [floats(`${name}.weight`), floats(`${name}.bias`)];
    return x.map((row) => {
      const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
      return row.map((value, i) => ((value - mean) / Math.sqrt(variance + 1e-12)) * (gain[i] ?? 0) + (bias[i] ?? 0));
    });
  };

  return (ids) => {
    const positions = floats('positions.weight');
    const width = file.tensors.get('positions.weight')?.dims[1] ?? 0;
    const widen = file.tensors.has('widen.weight') ? floats('widen.weight') : undefined;
    let x = ids.map((id, position) => {
      const given = new Float32Array(table.width);
      table.addRow(id, given);
      return Float64Array.from({ length: width }, (_, n) => {
        const wide = widen ? given.reduce((sum, value, k) => sum + value * (widen[k * width + n] ?? 0), 0) : given[n];
        return (wide ?? 0) + (positions[position * width + n] ?? 0);
      });
    });
    x = norm(x, 'norm');
    for (let layer = 0; layer < layers; layer++) {
      const name = `block${layer}`;
      const attended = attention(linear(x, `${name}.qkv`), heads);
      x = norm(added(x, linear(attended, `${name}.out`)), `${name}.norm1`);
      const hidden = linear(x, `${name}.up`).map((row) => row.map(gelu));
      x = norm(added(x, linear(hidden, `${name}.down`)), `${name}.norm2`);
    }
    const pooled = Float64Array.from(
      { length: width },
      (_, n) => x.reduce((sum, row) => sum + (row[n] ?? 0), 0) / x.length,
    );
    const [matrix, bias] = [floats('projection.weight'), floats('projection.bias')];
    const vector = Float64Array.from(bias, (start, n) =>
      pooled.reduce((sum, value, k) => sum + value * (matrix[k * bias.length + n] ?? 0), start),
    );
    const length = Math.sqrt(product(vector, vector));
    return vector.map((value) => value / length);
  };
}

function attention(qkv: Rows, heads: number): Rows {
  const width = (qkv[0]?.length ?? 0) / 3;
  const size = width / heads;
  return qkv.map((own) => {
    const out = new Float64Array(width);
    for (let at = 0; at < width; at += size) {
      const query = own.subarray(at, at + size);
      const scores = qkv.map((row) => product(query, row.subarray(width + at, width + at + size)) / Math.sqrt(size));
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      for (const [j, weight] of weights.entries()) {
        const value = qkv[j]?.subarray(2 * width + at, 2 * width + at + size) ?? [];
        for (const [d, each] of value.entries()) out[at + d] = (out[at + d] ?? 0) + (weight / total) * each;
      }
    }
    return out;
  });
}

/** The columns of a uint8 matrix as the numbers that they stand for. */
function columnsOf(bytes: Uint8Array, scales: Float32Array): Rows {
  const depth = bytes.length / scales.length;
  return Array.from(scales, (scale, n) =>
    Float64Array.from({ length: depth }, (_, k) => ((bytes[k * scales.length + n] ?? 0) - 128) * scale),
  );
}

function product(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

const added = (a: Rows, b: Rows): Rows => a.map((row, at) => row.map((value, i) => value + (b[at]?.[i] ?? 0)));

const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** Its power series, which converges fast enough where the function is not ±1 yet. */
function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; n < 120; n++) {
    term *= -(x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
