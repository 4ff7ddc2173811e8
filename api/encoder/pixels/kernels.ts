// The functions of the WebAssembly module that resizes (assembly/), over the linear memory that its host lays out. Addresses
// are bytes from the memory's start.
import { readFileSync } from 'node:fs';

export interface Kernels {
  /** Rows of RGB to lines of `width` pixels. */
  resizeRows(
    source: number,
    rows: number,
    pitch: number,
    starts: number,
    weights: number,
    pairs: number,
    width: number,
    lines: number,
    linePitch: number,
  ): void;
  /** Adds pairs of lines by their weights onto the sums of one row; `bytes` is a multiple of 16. */
  addLines(lines: number, linePitch: number, weights: number, pairs: number, sums: number, bytes: number): void;
  /** Sums of one row to samples. */
  finishRow(sums: number, bytes: number, to: number): void;
  /** Samples to numbers, plane by plane, by a table of 256 for each channel. */
  normalise(from: number, pixels: number, levels: number, to: number): void;
}

export interface Module {
  kernels: Kernels;
  memory: WebAssembly.Memory;
}

/** Bytes at the start of memory that the module keeps constants in. */
export const RESERVED = 1024;

/** From this file and from a bundle of a host alike: each is two folders below the one that holds `encoder`. */
const FILE = new URL('../../encoder/pixels/resize.wasm', import.meta.url);

let opened: Module | undefined;

/** One for all pictures of a thread, which pass through it one after the other; its memory grows with the largest. */
export function openModule(): Module {
  if (opened) return opened;
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = new WebAssembly.Module(readFileSync(FILE));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  opened = { kernels: exports as unknown as Kernels, memory };
  return opened;
}
