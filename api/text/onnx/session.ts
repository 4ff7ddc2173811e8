// Opens onnxruntime-web sessions where WebAssembly may not be compiled from bytes: in workerd, and the same way in Node.
import * as ort from 'onnxruntime-web/wasm';

/** `weights.name` is the external data file's name inside the graphs; `weights.data` is empty once they are open. */
export interface GraphFiles {
  graphs: Uint8Array[];
  weights: { name: string; data: ArrayBuffer } | undefined;
}
export type TextSession = Pick<ort.InferenceSession, 'run' | 'release' | 'inputMetadata'>;

let memory: WebAssembly.Memory | undefined;

/** Bytes of the runtime's linear memory, which never shrinks; 0 before the first session. */
export function wasmMemoryBytes(): number {
  return memory?.buffer.byteLength ?? 0;
}

/** Must not be called twice at the same time. `wasm`: the compiled ort-wasm-simd-threaded.wasm. */
export async function openSessions({ graphs, weights }: GraphFiles, wasm: WebAssembly.Module): Promise<TextSession[]> {
  const restore = install(wasm);
  try {
    const sessions: TextSession[] = [];
    for (const graph of graphs) {
      const session = await ort.InferenceSession.create(graph, {
        // External weights are copied once, straight into their tensors; inside the graph they would cost three times.
        ...(weights ? { externalData: [{ path: weights.name, data: new Uint8Array(weights.data) }] } : {}),
        enableCpuMemArena: false,
        enableMemPattern: false,
      });
      sessions.push(session);
    }
    // The sessions have their own copies. Detaching frees this one even where a module of the bundle still refers to it.
    weights?.data.transfer();
    return sessions;
  } finally {
    restore();
  }
}

/** Makes the runtime use the compiled module and a memory that grows tightly; returns a function that undoes it. */
function install(wasm: WebAssembly.Module): () => void {
  const { Memory, instantiate } = WebAssembly;
  const original = { Memory, instantiate };
  function TightMemory(descriptor: WebAssembly.MemoryDescriptor): WebAssembly.Memory {
    const made = new Memory(descriptor);
    const grow = made.grow.bind(made);
    let requests = 0;
    // The glue asks for 20 % more than it needs, then 10 %, then 5 %: refusing the first two saves megabytes.
    made.grow = (pages: number) => {
      if (++requests % 3 !== 0) throw new RangeError('a smaller growth will do');
      return grow(pages);
    };
    memory = made;
    return made;
  }
  Object.assign(WebAssembly, {
    Memory: TightMemory,
    instantiate: async (_: unknown, imports: WebAssembly.Imports) => ({
      module: wasm,
      instance: new WebAssembly.Instance(wasm, imports),
    }),
  });
  ort.env.wasm.numThreads = 1;
  // Never read, but without it the runtime would fetch the module.
  ort.env.wasm.wasmBinary = new ArrayBuffer(8);
  return () => Object.assign(WebAssembly, original);
}
