// A text tower's computation over the kernels: texts packed row after row, so that short ones share the products.
import type { TokenIds } from '../engine.ts';
import type { Rows } from '../table.ts';
import { CHUNK, FINISH } from './kernels.ts';
import type { TowerShape } from './text-graph.ts';
import type { Layer, Norm, TowerMemory } from './tower-memory.ts';

/** Texts that are computed together: text number i has rows `starts[i]` to `starts[i + 1]`. */
export interface Group {
  texts: readonly TokenIds[];
  starts: readonly number[];
  rows: number;
}

/** A part of the work that is not interrupted. */
export interface Step {
  /** What it costs, in tokens of a whole text. */
  tokens: number;
  run(): void;
}

/** Of a layer, by its weights: queries, keys and values are a quarter or so of the work. */
const FIRST_PART = 0.25;

/** All steps of a group in their order. `deliver` gets each vector as it stands in memory, before it is normalised. */
export function* stepsOf(
  group: Group,
  { shape, memory, table }: { shape: TowerShape; memory: TowerMemory; table: Rows },
  deliver: (vector: Float32Array) => void,
): Generator<Step> {
  const { kernels, floats, weights, workspace } = memory;
  const { width, hidden, heads, epsilon, layers: count, preNorm } = shape;
  const finish = { gelu: FINISH.gelu, gelu_tanh: FINISH.geluTanh, quick_gelu: FINISH.quickGelu }[shape.activation];
  const state = (row: number) => workspace.x + row * width * 4;
  const queries = (row: number) => workspace.qkv + row * 3 * width * 4;
  const chunks = chunksOf(group.rows);

  yield { tokens: 0, run: embed };
  for (const layer of weights.layers) {
    for (const chunk of chunks) {
      yield { tokens: (chunk.rows * FIRST_PART) / count, run: () => project(layer, chunk) };
    }
    for (const chunk of chunks) {
      yield { tokens: (chunk.rows * (1 - FIRST_PART)) / count, run: () => complete(layer, chunk) };
    }
  }
  yield { tokens: 0, run: pool };

  function embed(): void {
    for (const [text, start] of group.starts.slice(0, -1).entries()) {
      const ids = group.texts[text] ?? [];
      const rows = (group.starts[text + 1] ?? 0) - start;
      for (let position = 0; position < rows; position++) {
        const at = state(start + position) / 4;
        const from = weights.positions / 4 + position * width;
        floats.copyWithin(at, from, from + width);
        const id = ids[position];
        if (id === undefined) fill(position, at);
        else if (weights.widen === undefined) table.addRow(id, floats, { at });
        else widen(id, at, weights.widen);
      }
    }
    if (!preNorm) normalize(workspace.x, group.rows, weights.norm);
  }

  function widen(id: number, at: number, matrix: number): void {
    const row = workspace.hidden / 4;
    floats.fill(0, row, row + shape.input);
    table.addRow(id, floats, { at: row });
    kernels.addProduct(workspace.hidden, matrix, shape.input, width, at * 4);
  }

  /** Adds the row of padding that fills that place of a text. */
  function fill(position: number, at: number): void {
    const from = (weights.padding ?? 0) / 4 + position * width;
    for (let i = 0; i < width; i++) floats[at + i] = (floats[at + i] ?? 0) + (floats[from + i] ?? 0);
  }

  /** Queries, keys and values, which have to be complete before any row of the layer is. */
  function project(layer: Layer, { start, rows }: Chunk): void {
    quantize(state(start), rows, layer.norm1);
    multiply(rows, { matrix: layer.qkv, depth: width, columns: 3 * width, out: queries(start) });
  }

  function complete(layer: Layer, { start, rows }: Chunk): void {
    for (const [text, first] of group.starts.slice(0, -1).entries()) {
      const tokens = (group.starts[text + 1] ?? 0) - first;
      const [from, to] = [Math.max(first, start), Math.min(first + tokens, start + rows)];
      if (from >= to) continue;
      const out = workspace.attended + (from - start) * width * 4;
      const { attention: scratch } = workspace;
      const causal = Number(shape.causal);
      const size = width / heads;
      kernels.attend(queries(first), 3 * width * 4, tokens, from - first, to - from, heads, size, causal, out, scratch);
    }
    const x = state(start);
    kernels.quantize(workspace.attended, rows, width, workspace.q, workspace.info);
    multiply(rows, { matrix: layer.out, depth: width, columns: width, out: x, finish: FINISH.add });
    if (!preNorm) normalize(x, rows, layer.norm1);
    quantize(x, rows, layer.norm2);
    multiply(rows, { matrix: layer.up, depth: width, columns: hidden, out: workspace.hidden, finish });
    kernels.quantize(workspace.hidden, rows, hidden, workspace.q, workspace.info);
    multiply(rows, { matrix: layer.down, depth: hidden, columns: width, out: x, finish: FINISH.add });
    if (!preNorm) normalize(x, rows, layer.norm2);
  }

  function pool(): void {
    const { matrix, bias } = weights.projection;
    const at = workspace.vector / 4;
    for (const [text, ids] of group.texts.entries()) {
      const start = group.starts[text] ?? 0;
      if (shape.pooling === 'mean') kernels.mean(state(start), ids.length, width, workspace.pooled);
      else {
        const end = shape.pooling === 'token' ? start + ids.length : (group.starts[text + 1] ?? 0);
        copy(state(end - 1), 1, workspace.pooled);
      }
      if (preNorm) normalize(workspace.pooled, 1, weights.norm);
      if (bias === undefined) floats.fill(0, at, at + shape.output);
      else floats.copyWithin(at, bias / 4, bias / 4 + shape.output);
      kernels.addProduct(workspace.pooled, matrix, width, shape.output, workspace.vector);
      deliver(floats.subarray(at, at + shape.output));
    }
  }

  /** States in whole numbers; those of a layer that normalises what it reads are normalised on the way, not in their place. */
  function quantize(x: number, rows: number, norm: Norm): void {
    if (preNorm) {
      copy(x, rows, workspace.hidden);
      normalize(workspace.hidden, rows, norm);
    }
    kernels.quantize(preNorm ? workspace.hidden : x, rows, width, workspace.q, workspace.info);
  }

  function copy(x: number, rows: number, to: number): void {
    floats.copyWithin(to / 4, x / 4, x / 4 + rows * width);
  }

  function normalize(x: number, rows: number, { gain, bias }: Norm): void {
    kernels.normalize(x, rows, width, gain, bias, epsilon);
  }

  function multiply(rows: number, { matrix, depth, columns, out, finish = FINISH.store }: Product): void {
    kernels.multiply(workspace.q, workspace.info, rows, matrix, depth, columns, out, columns * 4, finish);
  }
}

interface Product {
  matrix: number;
  depth: number;
  columns: number;
  out: number;
  finish?: number;
}

interface Chunk {
  start: number;
  rows: number;
}

function chunksOf(rows: number): Chunk[] {
  return Array.from({ length: Math.ceil(rows / CHUNK) }, (_, number) => {
    const start = number * CHUNK;
    return { start, rows: Math.min(CHUNK, rows - start) };
  });
}

/** Texts in their order, as many together as fit a chunk; a longer one is alone. `rowsOf`: how many a text of N tokens has. */
export function* groupsOf(inputs: readonly TokenIds[], rowsOf: (tokens: number) => number): Generator<Group> {
  let texts: TokenIds[] = [];
  let starts = [0];
  let rows = 0;
  for (const ids of inputs) {
    const more = rowsOf(ids.length);
    if (texts.length > 0 && rows + more > CHUNK) {
      yield { texts, starts, rows };
      [texts, starts, rows] = [[], [0], 0];
    }
    texts.push(ids);
    rows += more;
    starts.push(rows);
  }
  if (texts.length > 0) yield { texts, starts, rows };
}
