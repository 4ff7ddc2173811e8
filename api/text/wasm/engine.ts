// The text engine of our own WebAssembly module, in workerd, Node and browsers: students as `export` writes them, and text
// towers of CLIP and SigLIP as `import` does.
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode, TextEngine } from '../engine.ts';
import { openTable, type Table } from '../table.ts';
import { CLIP } from './clip-graph.ts';
import { type OnnxFile, readOnnx } from './onnx-file.ts';
import { openRowSums } from './row-sums.ts';
import { STUDENT } from './student-graph.ts';
import { readGraph, type TowerShape } from './text-graph.ts';
import { type Group, groupsOf, type Step, stepsOf } from './tower.ts';
import { planTower, type TowerMemory } from './tower-memory.ts';
import { loadWeights } from './weights.ts';

export interface WasmOptions {
  /** The compiled encoder.wasm, or encoder.relaxed.wasm where relaxed SIMD is understood. */
  module: WebAssembly.Module;
  /** Runs graphs of other kinds; absent: they are refused. */
  otherwise?: TextEngine | undefined;
}

/** Work between two questions for a turn, in tokens: a few milliseconds. */
const BLOCK = 24;

interface Sized {
  bytes: number;
}
const everywhere = new Set<Sized>();

/** Bytes of linear memory of whatever is open, of whatever engine. */
export const encoderMemoryBytes = (): number => bytesOf(everywhere);

const bytesOf = (open: Set<Sized>): number => [...open].reduce((sum, { bytes }) => sum + bytes, 0);

export function createWasmEngine({ module, otherwise }: WasmOptions): TextEngine {
  const open = new Set<TowerMemory>();
  return {
    async open(tower, read) {
      const file = readOnnx(new Uint8Array(await read(tower.graph.file)));
      const shape = readGraph(file, kindOf(file));
      if ('other' in shape) {
        if (otherwise) return otherwise.open(tower, read);
        throw new Error(`this engine cannot run ${tower.graph.file.path}: ${shape.other}`);
      }
      const { width } = tower.table;
      if (shape.input !== width) throw new Error(`the graph reads rows of ${shape.input} numbers, not ${width}`);
      const { memory, placed } = planTower(shape, file, module);
      const [rows] = await Promise.all([
        read(tower.table.file),
        loadWeights(placed, { of: tower.graph.weights?.file, read, into: memory.floats.buffer }),
      ]);
      const table = openTable(tower.table, rows);
      for (const set of [open, everywhere]) set.add(memory);
      return {
        encode: createEncode(shape, memory, table),
        async close() {
          for (const set of [open, everywhere]) set.delete(memory);
        },
        memoryBytes: () => bytesOf(open),
      };
    },
    async openSums(tables, read) {
      const sums = await openRowSums(tables, read, module);
      if (!sums) return undefined;
      everywhere.add(sums);
      return { sum: sums.sum, close: () => void everywhere.delete(sums) };
    },
  };
}

/** The kind that a graph is compared with: a student knows the mask of its texts. */
const kindOf = ({ nodes }: OnnxFile) =>
  nodes.some(({ inputs }) => inputs.includes('attention_mask')) ? STUDENT : CLIP;

function createEncode(shape: TowerShape, memory: TowerMemory, table: Table): Encode {
  const workspace = createOccupancy(shape.width, memory);
  return async function encodeTexts(inputs, turn) {
    for (const { length } of inputs) {
      if (length < 1 || length > shape.tokens) {
        throw new RangeError(`a text has 1 to ${shape.tokens} tokens, not ${length}`);
      }
    }
    const vectors: Float32Array[] = [];
    const rowsOf = (tokens: number) => (shape.padded ? shape.tokens : tokens);
    for (const group of groupsOf(inputs, rowsOf)) {
      const deliver = (vector: Float32Array) => void vectors.push(cutAndNormalise(vector, vector.length));
      try {
        for (const { tokens, steps } of blocksOf(stepsOf(group, { shape, memory, table }, deliver))) {
          await turn?.next(tokens);
          workspace.enter(group);
          for (const step of steps) step.run();
        }
      } finally {
        workspace.leave(group);
      }
    }
    return vectors;
  };
}

/** Steps together as long as they are little work. */
function* blocksOf(steps: Iterable<Step>): Generator<{ tokens: number; steps: Step[] }> {
  let block: Step[] = [];
  let tokens = 0;
  for (const step of steps) {
    if (tokens > 0 && tokens + step.tokens > BLOCK) {
      yield { tokens, steps: block };
      [block, tokens] = [[], 0];
    }
    block.push(step);
    tokens += step.tokens;
  }
  yield { tokens, steps: block };
}

/**
 * Who uses the workspace. While a request waits for its turn another may compute: the first one's states are copied out
 * then and back when it goes on, so that linear memory does not depend on how many requests there are.
 */
function createOccupancy(width: number, { floats, workspace }: TowerMemory) {
  const saved = new Map<Group, { x: Float32Array; qkv: Float32Array }>();
  const [x, qkv] = [workspace.x / 4, workspace.qkv / 4];
  let occupant: Group | undefined;
  return {
    enter(group: Group): void {
      if (occupant === group) return;
      if (occupant) {
        const { rows } = occupant;
        saved.set(occupant, { x: floats.slice(x, x + rows * width), qkv: floats.slice(qkv, qkv + rows * 3 * width) });
      }
      const own = saved.get(group);
      if (own) {
        floats.set(own.x, x);
        floats.set(own.qkv, qkv);
        saved.delete(group);
      }
      occupant = group;
    },
    leave(group: Group): void {
      saved.delete(group);
      if (occupant === group) occupant = undefined;
    },
  };
}
