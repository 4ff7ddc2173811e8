// The only file that knows it is a Worker: bindings and bundled files become the application's dependencies.
import { waitUntil } from 'cloudflare:workers';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import openapi from '../../contracts/schema/openapi.json';
import { createAdmission } from './admission.ts';
import { createApp } from './app.ts';
import { bundledDigest, bundledModel } from './bundled-model.ts';
import { Env } from './env.ts';
import { followRegistry } from './follow-registry.ts';
import { createImageEncoder, proveImages } from './image-encoder.ts';
import { createOpenSession } from './onnx-session.ts';
import { createRegistry } from './registry.ts';

let app: ReturnType<typeof createApp> | undefined;

export default {
  fetch(request, env, context) {
    app ??= assemble(Env.parse(env));
    return app.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;

function assemble({ ENCODER_URL: url, MODELS: bucket, MODEL_NAME: name, MODEL_REGISTRY_SECONDS: seconds }: Env) {
  const images = createImageEncoder(url);
  const open = createOpenSession(wasm);
  const registry = bucket
    ? followRegistry({
        embedded: { source: bundledModel, digest: bundledDigest },
        bucket,
        name,
        seconds,
        open,
        background: waitUntil,
        // Where no image is ever encoded, none has to be.
        proveImages: async (space) => void (url && (await proveImages(images, space))),
      })
    : createRegistry(bundledModel, open);
  return createApp({ registry, images, admit: createAdmission(), openapi });
}
