// The Worker as `npm run bench` runs it: the application itself, and two routes that only this entry has.

import { wasmMemoryBytes } from '../../api/text/onnx/session.ts';
import { bundledModel } from '../../api/worker/bundled-model.ts';
import type { Env } from '../../api/worker/env.ts';
import worker from '../../api/worker/index.ts';
import { provideModel } from '../../api/worker/model-provider.ts';

export { KeyUsage } from '../../api/worker/index.ts';

/** A registry of its own: the static tier opens no session. */
const registry = provideModel(bundledModel, {
  open: () => Promise.reject(new Error('the bench opens no session')),
});

export default {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/bench/memory') return Response.json({ wasm_bytes: wasmMemoryBytes() });
    if (pathname === '/bench/static') {
      const times = Number(searchParams.get('times'));
      return Response.json({ checksum: await embedStatically(await request.text(), times) });
    }
    return worker.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;

/** From text to unit vector, `times` times. The caller holds the clock: this runtime's stands still without I/O. */
function embedStatically(text: string, times: number): Promise<number> {
  return registry.use(async (model) => {
    const tokenizer = await model.tokenizer();
    const encode = await model.static();
    let checksum = 0;
    for (let i = 0; i < times; i++) {
      const [vector] = await encode([tokenizer.encode(text).ids]);
      checksum += vector?.[i % vector.length] ?? 0;
    }
    return checksum;
  });
}
