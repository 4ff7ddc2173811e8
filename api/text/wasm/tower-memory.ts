// A text tower in linear memory: its weights, packed once, and the workspace of its computations, at addresses that follow from its
// sizes alone.
import { CHUNK, createPlan, type Kernels, start } from './kernels.ts';
import type { OnnxFile, OnnxTensor } from './onnx-file.ts';
import { matricesOf, requireZeroPoint, type TowerShape } from './text-graph.ts';
import type { Placed } from './weights.ts';

interface Place {
  depth: number;
  columns: number;
  at: number;
}

/** A matrix, by its name in the graph: `pack` writes it at `at`, and `multiply` reads it there. */
interface Matrix extends Place {
  name: string;
}

export interface Norm {
  gain: number;
  bias: number;
}

/** Addresses of a layer's packed matrices and of its normalisations. */
export interface Layer {
  qkv: number;
  out: number;
  up: number;
  down: number;
  norm1: Norm;
  norm2: Norm;
}

export interface TowerMemory {
  kernels: Kernels;
  floats: Float32Array;
  bytes: number;
  weights: {
    positions: number;
    /** Absent: rows of the table are as wide as states. */
    widen: number | undefined;
    /** Rows that fill a text up; absent: there are none. */
    padding: number | undefined;
    norm: Norm;
    layers: Layer[];
    projection: { matrix: number; bias: number | undefined };
  };
  /** Weights that stay float32: their addresses by name. */
  numbers: ReadonlyMap<string, number>;
  matrices: readonly Matrix[];
  /** Of float32, row after row until the tower is ready, then in the panels that `addProduct` reads. */
  products: readonly Place[];
  /** Where the weights end, which begin behind what is reserved. */
  weightsEnd: number;
  workspace: Workspace;
}

/** Addresses. What one run leaves for the next is in `x` and `qkv`; the others are free in between. */
export interface Workspace {
  /** States of all rows: [rows, width]. */
  x: number;
  /** Queries, keys and values of all rows: [rows, 3 width]. */
  qkv: number;
  /** Of a chunk: what attention gives, what is between the products of the second half, and rows of the table. */
  attended: number;
  hidden: number;
  q: number;
  info: number;
  attention: number;
  pooled: number;
  vector: number;
}

/** Memory with a place for everything, before any weight is there. */
export function planTower(shape: TowerShape, module: WebAssembly.Module): TowerMemory {
  const { layers: count, width, hidden, input, output, tokens, heads } = shape;
  const plan = createPlan();
  const numbers = new Map<string, number>();
  const matrices: Matrix[] = [];
  const floats = (name: string, size: number): number => {
    const at = plan.place(size * 4);
    numbers.set(name, at);
    return at;
  };
  const norm = (name: string): Norm => ({
    gain: floats(`${name}.weight`, width),
    bias: floats(`${name}.bias`, width),
  });
  const matrix = (name: string, depth: number, columns: number): number => {
    // Weights, scale, sum and bias of each column, and a mark for 8 x 8 weights: see assembly/packing.ts.
    const at = plan.place(depth * columns + 3 * 4 * columns + (depth / 8) * (columns / 8));
    matrices.push({ name, depth, columns, at });
    return at;
  };

  const products: Place[] = [];
  const product = (name: string, depth: number, columns: number): number => {
    const at = floats(name, depth * columns);
    products.push({ depth, columns, at });
    return at;
  };

  const weights = {
    positions: floats('positions.weight', tokens * width),
    widen: input === width ? undefined : product('widen.weight', input, width),
    padding: shape.padded ? floats('padding.rows', tokens * width) : undefined,
    norm: norm('norm'),
    layers: Array.from({ length: count }, (_, number) => {
      const addresses = matricesOf(shape).map(
        ([name, depth, columns]) => [name, matrix(`block${number}.${name}`, depth, columns)] as const,
      );
      const norms = { norm1: norm(`block${number}.norm1`), norm2: norm(`block${number}.norm2`) };
      return { ...(Object.fromEntries(addresses) as Pick<Layer, 'qkv' | 'out' | 'up' | 'down'>), ...norms };
    }),
    projection: {
      matrix: product('projection.weight', width, output),
      bias: shape.biased ? floats('projection.bias', output) : undefined,
    },
  };
  const weightsEnd = plan.place(0);
  const rows = Math.max(tokens, CHUNK);
  const inner = Math.max(hidden, width, input);
  const rounded = Math.ceil(tokens / 8) * 8;
  // States and what follows them hold a matrix while it is packed or divided: the largest has 4 width² bytes or so.
  const largest = Math.max(
    width * Math.max(3 * width, hidden),
    ...products.map(({ depth, columns }) => depth * columns * 4),
  );
  const spare = Math.max(0, largest - rows * 4 * width * 4);
  const workspace: Workspace = {
    x: plan.place(rows * width * 4),
    qkv: plan.place(rows * 3 * width * 4 + spare),
    attended: plan.place(CHUNK * width * 4),
    hidden: plan.place(CHUNK * inner * 4),
    q: plan.place(CHUNK * inner * 2),
    info: plan.place(CHUNK * 8),
    // Of one head: keys and values, and four queries, as int16; four rows of scores.
    attention: plan.place((width / heads) * (2 * rounded + 4) * 2 + 4 * (rounded + 4) * 4),
    pooled: plan.place(width * 4),
    vector: plan.place(output * 4),
  };

  const { kernels, memory } = start(module, plan.pages());
  const { buffer } = memory;
  const places = { weights, numbers, matrices, products, weightsEnd, workspace };
  return { kernels, floats: new Float32Array(buffer), bytes: buffer.byteLength, ...places };
}

/** Where the weights of a graph go in that memory. */
export function placesOf({ kernels, floats, numbers, matrices, workspace }: TowerMemory, file: OnnxFile): Placed[] {
  const bytes = new Uint8Array(floats.buffer);
  const tensorOf = (name: string): OnnxTensor => {
    const tensor = file.tensors.get(name);
    if (!tensor) throw new Error(`the graph has no weight ${name}`);
    return tensor;
  };
  const placed: Placed[] = Array.from(numbers, ([name, at]) => ({ tensor: tensorOf(name), at }));
  for (const { name, depth, columns, at } of matrices) {
    const scales = at + depth * columns;
    const packed = { pack: () => kernels.pack(workspace.x, depth, columns, at) };
    const part = (which: string, to: number): Placed => ({
      tensor: tensorOf(`${name}.${which}`),
      at: to,
      matrix: packed,
    });
    const zeros = tensorOf(`${name}.zero`);
    placed.push(
      part('scale', scales),
      part('bias', scales + 2 * 4 * columns),
      { ...part('weight', workspace.x), isShared: true },
      {
        tensor: zeros,
        at: workspace.hidden,
        check: () => requireZeroPoint(name, bytes.subarray(workspace.hidden, workspace.hidden + sizeOf(zeros))),
      },
    );
  }
  return placed;
}

const sizeOf = ({ bytes, outside }: OnnxTensor): number => outside?.length ?? bytes.length;
