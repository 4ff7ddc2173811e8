// A student's computation over the kernels: texts packed row after row, so that short ones share the products.
import type { TokenIds } from '../engine.ts';
import type { Table } from '../table.ts';
import { CHUNK, FINISH } from './kernels.ts';
import type { StudentShape } from './student-graph.ts';
import type { Layer, Norm, StudentMemory } from './student-memory.ts';

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
  { shape, memory, table }: { shape: StudentShape; memory: StudentMemory; table: Table },
  deliver: (vector: Float32Array) => void,
): Generator<Step> {
  const { kernels, floats, weights, workspace } = memory;
  const { width, hidden, heads, epsilon, layers: count } = shape;
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
    group.texts.forEach((ids, text) => {
      const start = group.starts[text] ?? 0;
      for (const [position, id] of ids.entries()) {
        const at = state(start + position) / 4;
        const from = weights.positions / 4 + position * width;
        floats.copyWithin(at, from, from + width);
        if (weights.widen === undefined) table.addRow(id, floats, { at });
        else widen(id, at, weights.widen);
      }
    });
    normalize(workspace.x, group.rows, weights.norm);
  }

  function widen(id: number, at: number, matrix: number): void {
    const row = workspace.hidden / 4;
    floats.fill(0, row, row + shape.input);
    table.addRow(id, floats, { at: row });
    kernels.addProduct(workspace.hidden, 1, matrix, shape.input, width, at * 4);
  }

  /** Queries, keys and values, which have to be complete before any row of the layer is. */
  function project(layer: Layer, { start, rows }: Chunk): void {
    kernels.quantize(state(start), rows, width, workspace.q, workspace.info);
    multiply(rows, { matrix: layer.qkv, depth: width, columns: 3 * width, out: queries(start) });
  }

  function complete(layer: Layer, { start, rows }: Chunk): void {
    for (const [text, first] of group.starts.slice(0, -1).entries()) {
      const tokens = (group.starts[text + 1] ?? 0) - first;
      const [from, to] = [Math.max(first, start), Math.min(first + tokens, start + rows)];
      if (from >= to) continue;
      const out = workspace.attended + (from - start) * width * 4;
      const { attention: scratch } = workspace;
      const causal = 0;
      const size = width / heads;
      kernels.attend(queries(first), 3 * width * 4, tokens, from - first, to - from, heads, size, causal, out, scratch);
    }
    const x = state(start);
    kernels.quantize(workspace.attended, rows, width, workspace.q, workspace.info);
    multiply(rows, { matrix: layer.out, depth: width, columns: width, out: x, finish: FINISH.add });
    normalize(x, rows, layer.norm1);
    kernels.quantize(x, rows, width, workspace.q, workspace.info);
    multiply(rows, { matrix: layer.up, depth: width, columns: hidden, out: workspace.hidden, finish: FINISH.gelu });
    kernels.quantize(workspace.hidden, rows, hidden, workspace.q, workspace.info);
    multiply(rows, { matrix: layer.down, depth: hidden, columns: width, out: x, finish: FINISH.add });
    normalize(x, rows, layer.norm2);
  }

  function pool(): void {
    const { matrix, bias } = weights.projection;
    const at = workspace.vector / 4;
    for (const [text, ids] of group.texts.entries()) {
      kernels.mean(state(group.starts[text] ?? 0), ids.length, width, workspace.pooled);
      floats.copyWithin(at, bias / 4, bias / 4 + shape.output);
      kernels.addProduct(workspace.pooled, 1, matrix, width, shape.output, workspace.vector);
      deliver(floats.subarray(at, at + shape.output));
    }
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

/** Texts in their order, as many together as fit a chunk; a longer one is alone. */
export function* groupsOf(inputs: readonly TokenIds[]): Generator<Group> {
  let texts: TokenIds[] = [];
  let starts = [0];
  let rows = 0;
  for (const ids of inputs) {
    if (texts.length > 0 && rows + ids.length > CHUNK) {
      yield { texts, starts, rows };
      [texts, starts, rows] = [[], [0], 0];
    }
    texts.push(ids);
    rows += ids.length;
    starts.push(rows);
  }
  if (texts.length > 0) yield { texts, starts, rows };
}
