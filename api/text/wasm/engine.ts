// The text engine of our own WebAssembly module: students as `export` writes them, in workerd, Node and browsers.
import type { TextTower } from '../../../contracts/src/model/manifest.ts';
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode, ReadArtefact, TextEngine } from '../engine.ts';
import { openTable, type Table } from '../table.ts';
import { readOnnx } from './onnx-file.ts';
import { type Group, groupsOf, type Step, stepsOf } from './student.ts';
import { readStudent, type StudentGraph } from './student-graph.ts';
import { loadStudent, type StudentMemory } from './student-memory.ts';

export interface WasmOptions {
  /** The compiled encoder.wasm, or encoder.relaxed.wasm where relaxed SIMD is understood. */
  module: WebAssembly.Module;
}

/** Work between two questions for a turn, in tokens: a few milliseconds. */
const BLOCK = 24;

export function createWasmEngine({ module }: WasmOptions): TextEngine {
  const open = new Set<StudentMemory>();
  return {
    async open(tower, read) {
      const table = openTable(tower.table, await read(tower.table.file));
      const { shape, memory } = await load(tower, read, module);
      open.add(memory);
      return {
        encode: createEncode(shape, memory, table),
        async close() {
          open.delete(memory);
        },
        memoryBytes: () => [...open].reduce((sum, { bytes }) => sum + bytes, 0),
      };
    },
  };
}

async function load({ graph, table }: TextTower, read: ReadArtefact, module: WebAssembly.Module) {
  const weights = graph.weights && (await read(graph.weights.file));
  const file = readOnnx(new Uint8Array(await read(graph.file)), weights && new Uint8Array(weights));
  const shape = readStudent(file);
  if ('other' in shape) throw new Error(`this engine cannot run ${graph.file.path}: ${shape.other}`);
  if (shape.input !== table.width) throw new Error(`${graph.file.path} does not read rows of ${table.width} numbers`);
  const memory = loadStudent(shape, module);
  // They are in linear memory now. Detaching frees this copy even where a module of the bundle still refers to it.
  weights?.transfer();
  return { shape, memory };
}

function createEncode(shape: StudentGraph, memory: StudentMemory, table: Table): Encode {
  const workspace = createOccupancy(shape.width, memory);
  return async function encodeTexts(inputs, turn) {
    for (const { length } of inputs) {
      if (length < 1 || length > shape.tokens) {
        throw new RangeError(`a text has 1 to ${shape.tokens} tokens, not ${length}`);
      }
    }
    const vectors: Float32Array[] = [];
    for (const group of groupsOf(inputs)) {
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
function createOccupancy(width: number, { floats, workspace }: StudentMemory) {
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
