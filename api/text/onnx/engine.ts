// The text engine on onnxruntime-web: transformers as ONNX graphs, in workerd and in Node.
import type { TextTower } from '../../../contracts/src/model/manifest.ts';
import type { ReadArtefact, TextEngine } from '../engine.ts';
import { openTable } from '../table.ts';
import { createOnnxEncode } from './encode.ts';
import { runInParts, runWhole } from './runs.ts';
import { openSessions, wasmMemoryBytes } from './session.ts';

export interface OnnxOptions {
  /** The compiled ort-wasm-simd-threaded.wasm. */
  wasm: WebAssembly.Module;
  /** Runs `work` once no other work given to it is running. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

export function createOnnxEngine({ wasm, alone }: OnnxOptions): TextEngine {
  return {
    async open(tower, read) {
      const table = openTable(tower.table, await read(tower.table.file));
      const graphs = await readGraphs(tower, read);
      const { weights } = tower.graph;
      const files = { graphs, weights: weights && { name: weights.name, data: await read(weights.file) } };
      // The runtime starts once for all sessions, behind a promise of its own, and what `openSessions` replaces for the
      // time of the opening cannot be replaced twice.
      const sessions = await alone(() => openSessions(files, wasm));
      const [whole] = sessions;
      if (!whole) throw new Error('a text model has at least one graph');
      const { width } = table;
      const { partition } = tower;
      const run = partition
        ? runInParts(sessions, { width, inner: tower.width ?? width, rows: partition.rows })
        : runWhole(whole, width);
      return {
        encode: createOnnxEncode(table, run),
        async close() {
          for (const session of sessions) await session.release();
        },
        memoryBytes: wasmMemoryBytes,
      };
    },
  };
}

/** Those of the partition where there is one, else the whole graph. */
async function readGraphs({ graph, partition }: TextTower, read: ReadArtefact): Promise<Uint8Array[]> {
  if (!partition) return [new Uint8Array(await read(graph.file))];
  const file = await read(partition.file);
  let end = 0;
  return partition.sizes.map((size) => {
    end += size;
    return new Uint8Array(file, end - size, size);
  });
}
