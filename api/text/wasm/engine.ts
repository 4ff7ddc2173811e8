// The text engine of our own WebAssembly module, in workerd, Node and browsers: students as `export` writes them, and text
// towers of CLIP and SigLIP as `import` does.
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode, TextEngine } from '../engine.ts';
import { openRows, type Rows } from '../table.ts';
import { openTower } from './open-tower.ts';
import { openRowSums } from './row-sums.ts';
import type { TowerShape } from './text-graph.ts';
import { type Group, groupsOf, type Step, stepsOf } from './tower.ts';
import type { TowerMemory } from './tower-memory.ts';

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
      const found = await openTower(tower, read, module);
      if ('other' in found) {
        if (otherwise) return otherwise.open(tower, read);
        throw new Error(`this engine cannot run ${tower.graph.file.path}: ${found.other}`);
      }
      const [table, { shape, memory }] = await Promise.all([openRows(tower.table, read), found.load()]);
      if (shape.input !== table.width)
        throw new Error(`the graph reads rows of ${shape.input} numbers, not ${table.width}`);
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
      const { sum, need } = sums;
      return { sum, need, close: () => void everywhere.delete(sums) };
    },
  };
}

function createEncode(shape: TowerShape, memory: TowerMemory, table: Rows): Encode {
  const workspace = createOccupancy(shape.width, memory);
  return async function encodeTexts(inputs, turn) {
    for (const { length } of inputs) {
      if (length < 1 || length > shape.tokens) {
        throw new RangeError(`a text has 1 to ${shape.tokens} tokens, not ${length}`);
      }
    }
    await table.need?.(inputs);
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
  // Of a request that workerd dropped no `finally` runs: what nobody will ask for again must not need one to go.
  const saved = new WeakMap<Group, { x: Float32Array; qkv: Float32Array }>();
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
