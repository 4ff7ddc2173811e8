// The Worker as `npm run bench` runs it: the application itself, and routes that only this entry has.

import { sha256 } from '../../../api/registry/digest.ts';
import type { TextEngine } from '../../../api/text/engine.ts';
import { wasmMemoryBytes } from '../../../api/text/onnx/session.ts';
import relaxed from '../../../api/text/wasm/encoder.relaxed.wasm';
import plain from '../../../api/text/wasm/encoder.wasm';
import { createWasmEngine, encoderMemoryBytes } from '../../../api/text/wasm/engine.ts';
import { chooseBuild } from '../../../api/text/wasm/modules.ts';
import { createKeyCache } from '../../../api/worker/access/key-cache.ts';
import type { FinishedRequest } from '../../../api/worker/dependencies.ts';
import { embeddedModel } from '../../../api/worker/embedded-model.ts';
import type { Env } from '../../../api/worker/env.ts';
import { startTrace } from '../../../api/worker/http/trace.ts';
import { createAccess } from '../../../api/worker/middleware/access.ts';
import { type ModelProvider, provideModel } from '../../../api/worker/model-provider.ts';
import { logRequest } from '../../../api/worker/observe/finished.ts';
import { createMetrics } from '../../../api/worker/observe/metrics.ts';
import worker from '../../../api/worker/with-onnxruntime.ts';
import type { ApiKey } from '../../../contracts/src/api/api-key.ts';

export { KeyUsage } from '../../../api/worker/with-onnxruntime.ts';

/** A model of its own: the static tier opens no tower. */
const { openSums } = createWasmEngine({ module: chooseBuild({ relaxed, plain }) });
const engine: TextEngine = { open: () => Promise.reject(new Error('the bench opens no tower')), openSums };
let provider: ModelProvider | undefined;

export default {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/bench/memory') return Response.json({ wasm_bytes: wasmMemoryBytes() + encoderMemoryBytes() });
    if (pathname === '/bench/static') {
      const times = Number(searchParams.get('times'));
      return Response.json({ checksum: await embedStatically(env, await request.text(), times) });
    }
    if (pathname === '/bench/access') {
      return Response.json({ granted: await checkKey(Number(searchParams.get('times'))) });
    }
    if (pathname === '/bench/application') return Response.json(await repeat(await request.json(), { env, context }));
    if (pathname === '/bench/logging') return Response.json({ logged: log(Number(searchParams.get('times'))) });
    return worker.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;

/** From text to unit vector, `times` times. The caller holds the clock: this runtime's stands still without I/O. */
function embedStatically({ ASSETS: files }: Env, text: string, times: number): Promise<number> {
  provider ??= provideModel(embeddedModel(files), engine);
  return provider.use(async (model) => {
    const tokenizer = await model.tokenizer();
    const encode = await model.encoder('static');
    let checksum = 0;
    for (let i = 0; i < times; i++) {
      const [vector] = await encode([tokenizer.encode(text).ids]);
      checksum += vector?.[i % vector.length] ?? 0;
    }
    return checksum;
  });
}

interface Repeated {
  path: string;
  body?: object;
  times: number;
}

/** Has the application answer one request many times, without the network. */
async function repeat(
  { path, body, times }: Repeated,
  { env, context }: { env: Env; context: ExecutionContext },
): Promise<{ bytes: number }> {
  let bytes = 0;
  const sent = JSON.stringify(body);
  // As every client says it.
  const length = String(new TextEncoder().encode(sent).length);
  for (let i = 0; i < times; i++) {
    const asked = body && {
      method: 'POST',
      body: sent,
      headers: { 'content-type': 'application/json', 'content-length': length },
    };
    const request = new Request(`http://localhost${path}`, asked) as Parameters<typeof worker.fetch>[0];
    const response = await worker.fetch(request, env, context);
    const answered = await response.arrayBuffer();
    if (!response.ok) throw new Error(new TextDecoder().decode(answered));
    bytes += answered.byteLength;
  }
  return { bytes };
}

const metrics = createMetrics('bench');

/** Tells of a finished request, `times` times. */
function log(times: number): number {
  for (let i = 0; i < times; i++) {
    const finished: FinishedRequest = {
      requestId: crypto.randomUUID(),
      operation: 'embed',
      door: 'own',
      method: 'POST',
      status: 200,
      ms: i % 100,
      model: 'bench',
      tokens: 8,
      images: 0,
      cache: 'miss',
      headers: {},
      trace: startTrace(new Headers()),
    };
    metrics.observe(finished);
    logRequest(finished);
  }
  return times;
}

const SECRET = `ec_${'0'.repeat(40)}`;
const KEY: ApiKey = {
  digest: '',
  prefix: 'ec_00000000',
  name: 'bench',
  scopes: ['embed'],
  created_at: '2026-01-01T00:00:00Z',
  expires_at: null,
  revoked_at: null,
  rate: { requests_per_minute: 1 },
  quota: { tokens_per_month: null, images_per_month: null },
};

/** Looks at a key that is remembered, `times` times. */
async function checkKey(times: number): Promise<number> {
  const digest = await sha256(new TextEncoder().encode(SECRET) as Uint8Array<ArrayBuffer>);
  const document = JSON.stringify({ ...KEY, digest });
  const namespace = { get: async () => document, list: async () => ({ keys: [document] }) };
  const access = createAccess({ policy: { who: 'keys' }, keys: createKeyCache(namespace) });
  const request = new Request('http://localhost/embed', { headers: { authorization: `Bearer ${SECRET}` } });
  let granted = 0;
  for (let i = 0; i < times; i++) {
    await access(request, { scope: 'embed', path: '/embed' }, { headers: {} });
    granted++;
  }
  return granted;
}
