// The only file that knows it is a Worker: bindings and bundled files become the application's dependencies.
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import openapi from '../../contracts/schema/openapi.json';
import { createAdmission } from './admission.ts';
import { createApp } from './app.ts';
import { bundledModel } from './bundled-model.ts';
import { Env } from './env.ts';
import { createImageEncoder } from './image-encoder.ts';
import { createOpenSession } from './onnx-session.ts';
import { createRegistry } from './registry.ts';

let app: ReturnType<typeof createApp> | undefined;

export default {
  fetch(request, env, context) {
    app ??= createApp({
      registry: createRegistry(bundledModel, createOpenSession(wasm)),
      images: createImageEncoder(Env.parse(env).ENCODER_URL),
      admit: createAdmission(),
      openapi,
    });
    return app.fetch(request, env, context);
  },
} satisfies ExportedHandler<Env>;
