// Weights on their way into linear memory: each has its place there, and matrices are packed from one place that they share. A file
// of weights in chunks is copied as they come, and never held as a whole.
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import type { ReadArtefact } from '../engine.ts';
import { bytesOf, type TensorBytes } from './onnx-file.ts';

/** Where in memory a tensor goes. */
export interface Placed {
  tensor: TensorBytes;
  at: number;
  /** Of the parts of a matrix: what they have in common. It can be packed when `PARTS` of them are there. */
  matrix?: Matrix;
  /** Of the part that lies where other matrices' do, until it is packed. */
  isShared?: boolean;
  /** Throws where it is not what it has to be; called when it is there. */
  check?: () => void;
}

export interface Matrix {
  pack(): void;
}

/** Values, scales and biases. */
const PARTS = 3;

interface Loading {
  /** The file beside the graph; absent: there is none. */
  of: Artefact | undefined;
  read: ReadArtefact;
  into: ArrayBufferLike;
}

/** In chunks where the source has them and the order of the file allows it. */
export async function loadWeights(placed: readonly Placed[], { of, read, into }: Loading): Promise<void> {
  const memory = new Uint8Array(into);
  if (of && read.chunks && areInOrder(placed)) return copyChunks(placed, read.chunks(of), memory);
  const bytes = of && (await read(of));
  copyWhole(placed, bytes && new Uint8Array(bytes), memory);
  // Detaching frees this copy before anything is collected.
  bytes?.transfer();
}

/** `file`: the one beside the graph, in whatever order; absent: there is none. Throws where it ends before the weights do. */
export function copyWhole(placed: readonly Placed[], file: Uint8Array | undefined, memory: Uint8Array): void {
  const done = createCounter();
  for (const each of placed) {
    memory.set(bytesOf(each.tensor, file), each.at);
    done(each);
  }
}

/** For weights that `areInOrder` only. Each chunk is good until the next is asked for. Throws where the file ends before they do. */
export async function copyChunks(
  placed: readonly Placed[],
  chunks: AsyncIterable<Uint8Array>,
  memory: Uint8Array,
): Promise<void> {
  // None of these is a part of a matrix, or weights would not be in order.
  const inGraph = placed.filter(({ tensor }) => !tensor.outside);
  copyWhole(inGraph, undefined, memory);
  const done = createCounter();
  const segments = segmentsOf(placed);
  let [next, position] = [0, 0];
  // Told when all was read: the source knows better what is wrong with a file that is not whole.
  let fault: { error: unknown } | undefined;
  for await (const chunk of chunks) {
    const end = position + chunk.length;
    for (let segment = segments[next]; segment && segment.start < end; segment = segments[next]) {
      const from = Math.max(segment.start, position);
      const to = Math.min(segment.end, end);
      memory.set(chunk.subarray(from - position, to - position), segment.at + from - segment.start);
      if (segment.end > end) break;
      try {
        done(segment);
      } catch (error) {
        fault ??= { error };
      }
      next++;
    }
    position = end;
  }
  if (fault) throw fault.error;
  if (next < segments.length) throw new Error('the file of weights ends before those that the graph names');
}

/** Whether the file can be copied from its start to its end: no two weights overlap, and a matrix is whole before the next one begins. */
export function areInOrder(placed: readonly Placed[]): boolean {
  const missing = new Map<Matrix, number>();
  let [position, current] = [0, undefined as Matrix | undefined];
  for (const { start, end, matrix, isShared } of segmentsOf(placed)) {
    if (start < position) return false;
    position = end;
    if (!matrix) continue;
    if (isShared) {
      if (current && missing.get(current) !== 0) return false;
      current = matrix;
    }
    missing.set(matrix, (missing.get(matrix) ?? PARTS) - 1);
  }
  return placed.every(({ matrix }) => !matrix || missing.get(matrix) === 0);
}

interface Segment extends Placed {
  start: number;
  end: number;
}

/** What is in the file beside the graph, in its order. */
function segmentsOf(placed: readonly Placed[]): Segment[] {
  const segments = placed.flatMap((each): Segment[] => {
    const { outside } = each.tensor;
    return outside ? [{ ...each, start: outside.start, end: outside.start + outside.length }] : [];
  });
  return segments.sort((a, b) => a.start - b.start);
}

function createCounter(): (placed: Placed) => void {
  const there = new Map<Matrix, number>();
  return ({ matrix, check }) => {
    check?.();
    if (!matrix) return;
    const count = (there.get(matrix) ?? 0) + 1;
    there.set(matrix, count);
    if (count === PARTS) matrix.pack();
  };
}
