// onnxruntime-web made to run where WebAssembly may not be compiled from bytes: in workerd, and alike in Node.
import * as ort from 'onnxruntime-web/wasm';
import { createLease, inTurn } from '../../worker/isolate/lease.ts';

/** `weights.name` is the external data file's name inside the graph; `weights.data` is empty once a session is open. */
export interface GraphFiles {
  graph: ArrayBuffer;
  weights: { name: string; data: ArrayBuffer } | undefined;
}
export type TextSession = Pick<ort.InferenceSession, 'run' | 'release' | 'inputMetadata'>;
export type OpenSession = (files: GraphFiles) => Promise<TextSession>;

/** The runtime starts once for all sessions, behind a promise of its own, and the shims below do not nest. */
const turns = createLease(30_000);

let memory: WebAssembly.Memory | undefined;

/** Bytes of the runtime's linear memory, which never shrinks; 0 before the first session. */
export function wasmMemoryBytes(): number {
  return memory?.buffer.byteLength ?? 0;
}

/** `wasm`: the compiled ort-wasm-simd-threaded.wasm. Nothing happens before the returned function is called. */
export function createOpenSession(wasm: WebAssembly.Module): OpenSession {
  return async function openSession(files) {
    return inTurn(turns, () => create(files, wasm));
  };
}

async function create({ graph, weights }: GraphFiles, wasm: WebAssembly.Module): Promise<TextSession> {
  const restore = install(wasm);
  try {
    const session = await ort.InferenceSession.create(new Uint8Array(graph), {
      // External weights are copied once, straight into their tensors; inside the graph they would cost three times.
      ...(weights ? { externalData: [{ path: weights.name, data: new Uint8Array(weights.data) }] } : {}),
      enableCpuMemArena: false,
      enableMemPattern: false,
    });
    // The session has its own copy; detaching lets go of this one even where a module of the bundle still names it.
    weights?.data.transfer();
    return session;
  } finally {
    restore();
  }
}

/** Puts the compiled module and a memory that grows tightly in the runtime's way; returns how to take them out. */
function install(wasm: WebAssembly.Module): () => void {
  const { Memory, instantiate } = WebAssembly;
  const original = { Memory, instantiate };
  function TightMemory(descriptor: WebAssembly.MemoryDescriptor): WebAssembly.Memory {
    const made = new Memory(descriptor);
    const grow = made.grow.bind(made);
    let asked = 0;
    // The glue asks for 20 % more than it needs, then 10 %, then 5 %: refusing the first two saves megabytes.
    made.grow = (pages: number) => {
      if (++asked % 3 !== 0) throw new RangeError('a smaller growth will do');
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
  // Not read, but its presence keeps the runtime from fetching the module.
  ort.env.wasm.wasmBinary = new ArrayBuffer(8);
  return () => Object.assign(WebAssembly, original);
}
