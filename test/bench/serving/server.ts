// A Worker of its own for a measurement, in a workerd whose CPU time can be read.
import { fileURLToPath } from 'node:url';
import type { Miniflare } from 'miniflare';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';
import { startWorker } from '../../../api/dev/local-worker.ts';
import { childrenNamed } from '../process.ts';

const MIB = 2 ** 20;
const ENTRY = fileURLToPath(new URL('worker.ts', import.meta.url));

export interface Server {
  platform: Miniflare;
  url: string;
  /** Of its workerd. */
  pid: number;
  /** Milliseconds until it listened. */
  listening_ms: number;
  /** Asks for vectors in base64. Throws what is no answer. */
  embed(body: object): Promise<void>;
  /** MiB of the engine's linear memory. */
  wasmMib(): Promise<number>;
  stop(): Promise<void>;
}

/** `variables`: as `wrangler secret put` sets them. */
export async function startServer(variables: Record<string, string> = {}): Promise<Server> {
  const before = performance.now();
  const others = new Set(childrenNamed('workerd'));
  // Nothing listens there: no image is sent.
  const encoderUrl = 'http://127.0.0.1:1';
  const { platform, url } = await startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl, entry: ENTRY, variables });
  const pid = childrenNamed('workerd').find((child) => !others.has(child));
  if (pid === undefined) {
    await platform.dispose();
    throw new Error('there is no workerd among the child processes');
  }
  return {
    platform,
    url,
    pid,
    listening_ms: performance.now() - before,
    async embed(body) {
      const response = await fetch(`${url}/embed`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ types: ['base64'], ...body }),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
    },
    async wasmMib() {
      const { wasm_bytes } = (await (await fetch(`${url}/bench/memory`)).json()) as { wasm_bytes: number };
      return wasm_bytes / MIB;
    },
    stop: () => platform.dispose(),
  };
}
