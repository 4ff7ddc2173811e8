// The text engine on onnxruntime-web: the student as an ONNX graph, in workerd and in Node.
import type { TextEngine, Turns } from '../engine.ts';
import { openTable } from '../table.ts';
import { createOnnxEncode } from './encode.ts';
import { openSession, wasmMemoryBytes } from './session.ts';

export interface OnnxOptions extends Turns {
  /** The compiled ort-wasm-simd-threaded.wasm. */
  wasm: WebAssembly.Module;
}

export function createOnnxEngine({ wasm, alone, pause }: OnnxOptions): TextEngine {
  return {
    async open(text, read) {
      const table = openTable(text.table, await read(text.table.file));
      const graph = await read(text.graph.file);
      const { weights } = text.graph;
      const files = { graph, weights: weights && { name: weights.name, data: await read(weights.file) } };
      // The runtime starts once for all sessions, behind a promise of its own, and what `openSession` replaces for the
      // time of the opening cannot be replaced twice.
      const session = await alone(() => openSession(files, wasm));
      return {
        encode: createOnnxEncode(table, session, pause),
        close: () => session.release(),
        memoryBytes: wasmMemoryBytes,
      };
    },
  };
}
