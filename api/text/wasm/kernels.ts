// The functions of the WebAssembly module (assembly/), and the linear memory that its host lays out for them. Addresses
// are bytes from the memory's start, numbers are float32 unless a name says otherwise, and sizes are in numbers.

export interface Kernels {
  /** uint8 matrix at `from` into panels at `to`, behind which scales and biases of its columns are. */
  pack(from: number, depth: number, width: number, to: number): void;
  /** A packed matrix in the order in which `multiply` reads it: once, in place, before the first product. */
  arrange(matrix: number, depth: number, width: number): void;
  /** Whole numbers for rows, with scale and low of each in `info`. */
  quantize(x: number, rows: number, width: number, q: number, info: number): void;
  /** Quantised rows times a packed matrix, into rows that are `stride` bytes apart. */
  multiply(
    q: number,
    info: number,
    rows: number,
    matrix: number,
    depth: number,
    width: number,
    out: number,
    stride: number,
    finish: number,
  ): void;
  normalize(x: number, rows: number, width: number, gain: number, bias: number, epsilon: number): void;
  attend(
    qkv: number,
    stride: number,
    tokens: number,
    first: number,
    count: number,
    heads: number,
    size: number,
    causal: number,
    out: number,
    scratch: number,
  ): void;
  mean(x: number, rows: number, width: number, out: number): void;
  /** Adds rows of an int8 table, times their scales, onto `out`: those with the `count` uint32 numbers at `ids`. */
  addRows(ids: number, count: number, table: number, scales: number, width: number, out: number): void;
  /** An int8 table, whose scales are behind it, as float32 in panels, as `addProduct` reads a matrix. */
  unpack(table: number, rows: number, width: number, out: number): void;
  /** A float32 matrix in such panels, at another place. */
  divide(matrix: number, depth: number, width: number, out: number): void;
  /** Adds `depth` numbers times a matrix in panels onto `out`. */
  addProduct(x: number, matrix: number, depth: number, width: number, out: number): void;
}

/** What `multiply` does with a product before it stores it, as assembly/product.ts numbers it. */
export const FINISH = { store: 0, gelu: 1, quickGelu: 2, add: 3, geluTanh: 4 } as const;

/** Rows that go through the products of a layer together: what the second cache holds beside a panel of weights. */
export const CHUNK = 80;

/** Bytes that may lie between two places, so that vectors begin where loads are fastest. */
const ALIGNMENT = 64;
const PAGE = 65_536;

/** Bytes at the start of memory that the module keeps constants in. */
export const RESERVED = 1024;

/** Gives out places one after the other, before there is a memory. */
export function createPlan() {
  let end = RESERVED;
  return {
    /** Reserves that many bytes, and answers their address. */
    place(bytes: number): number {
      const start = end;
      end = Math.ceil((start + bytes) / ALIGNMENT) * ALIGNMENT;
      return start;
    },
    /** Pages of a memory that holds all places. */
    pages: () => Math.ceil(end / PAGE),
  };
}
export type Plan = ReturnType<typeof createPlan>;

/** Whether WebAssembly compares each address with the end of memory, as in workerd; elsewhere pages behind the memory trap. */
export function comparesAddresses(): boolean {
  const { navigator } = globalThis as { navigator?: { userAgent?: string } };
  return navigator?.userAgent === 'Cloudflare-Workers';
}

/**
 * The loops that multiply. All give the same sums; which is fastest depends on the host: `accumulating` where the processor has that product as one
 * instruction, of the others `turned` where addresses are compared.
 */
export const LOOPS = ['straight', 'turned', 'accumulating'] as const;
export type Loop = (typeof LOOPS)[number];

/** What the module exports beside them: the loops, the order of weights for each, and what tells which one to take. */
interface Exports extends Omit<Kernels, 'arrange'> {
  arrange(matrix: number, depth: number, width: number, turned: number): void;
  multiplyTurned: Kernels['multiply'];
  multiplyAccumulating: Kernels['multiply'];
  probe(weight: number, activation: number): number;
}

/** What `probe` answers of 127 and 255 where the processor sums pairs to int16 first, and where there is no such product. */
const IN_PAIRS = 65_534;
const NONE = 0;

function loopOf({ probe }: Exports): Loop {
  const answer = probe(127, 255);
  if (answer !== IN_PAIRS && answer !== NONE) return 'accumulating';
  return comparesAddresses() ? 'turned' : 'straight';
}

/** The module over a memory that never grows. `loop` is the one that multiplies, by default the host's. */
export function start(
  module: WebAssembly.Module,
  pages: number,
  loop?: Loop,
): { kernels: Kernels; memory: WebAssembly.Memory; loop: Loop } {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const exports = instance.exports as unknown as Exports;
  const chosen = loop ?? loopOf(exports);
  const { multiply: straight, multiplyTurned: turned, multiplyAccumulating: accumulating } = exports;
  const kernels: Kernels = {
    ...exports,
    multiply: { straight, turned, accumulating }[chosen],
    arrange: (matrix, depth, width) => exports.arrange(matrix, depth, width, Number(chosen === 'turned')),
  };
  return { kernels, memory, loop: chosen };
}
