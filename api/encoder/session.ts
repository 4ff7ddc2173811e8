// The image tower: opens the ONNX graph that the manifest names, after its digest has been checked, and runs batches.

import { dirname, join } from 'node:path';
import { ENVARS } from '../../contracts/src/envars.ts';
import { FILES } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { CoreError } from '../core/errors.ts';
import { digestOfFile } from '../registry/stores/hash.ts';
import { readIfPresent } from './files.ts';

/** Tensors of [3, size, size] in, vectors of [embed_dim] out, in the same order. */
export interface ImageSession {
  run(batch: Float32Array[]): Promise<Float32Array[]>;
  /** Lets the batch that runs finish, and refuses every later one. */
  close(): Promise<void>;
}

export async function readManifest(folder: string): Promise<ModelManifest> {
  const path = join(folder, FILES.manifest);
  const text = await readIfPresent(path);
  if (text === undefined) {
    throw new UserError(`there is no model at ${path}: train one, or name the folder of another`);
  }
  const manifest = ModelManifest.safeParse(JSON.parse(text));
  if (!manifest.success) throw new UserError(`${path} is not a model manifest: ${manifest.error.message}`);
  return manifest.data;
}

/** What runs the graph. */
export type Provider = 'cpu' | 'cuda';

/** As the environment names it; absent or empty: processors. */
export function providerOf(name: string | undefined): Provider {
  const provider = name || 'cpu';
  if (provider === 'cpu' || provider === 'cuda') return provider;
  throw new UserError(`$${ENVARS.encoderProvider} is ${provider}: there are cpu and cuda`);
}

export interface SessionOptions {
  /** Cores that one batch may use. */
  threads: number;
  /** @default 'cpu' */
  provider?: Provider | undefined;
}

export async function openSession(
  folder: string,
  manifest: ModelManifest,
  { threads, provider = 'cpu' }: SessionOptions,
): Promise<ImageSession> {
  const { file, weights } = manifest.image.graph;
  await verify(folder, file);
  if (weights) {
    await verify(folder, weights.file);
    if (join(dirname(file.path), weights.name) !== join(weights.file.path)) {
      throw new Error(
        `${file.path} looks for its weights beside itself as ${weights.name}, not at ${weights.file.path}`,
      );
    }
  }
  // Imported here so that decoding and preprocessing work without the runtime's native library.
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const session = await InferenceSession.create(join(folder, file.path), {
    // Where CUDA cannot be had no session opens: on processors alone it would be a slow encoder at the price of a fast one.
    executionProviders: provider === 'cuda' ? ['cuda', 'cpu'] : ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const { size } = manifest.image.preprocess;
  let isClosed = false;
  const running = new Set<Promise<unknown>>();
  // Megabytes a batch: taken again, they do not wait for a collection while the next ones are made.
  const spare: Float32Array[] = [];
  return {
    async run(batch) {
      // Photos of a client that is gone may still be decoded when the process stops.
      if (isClosed) throw new CoreError('encoder_unavailable', 'the image encoder is stopping');
      const length = batch.length * 3 * size * size;
      const before = spare.pop();
      const pixels = before && before.length >= length ? before : new Float32Array(length);
      for (const [index, tensor] of batch.entries()) pixels.set(tensor, index * 3 * size * size);
      const input = new Tensor('float32', pixels.subarray(0, length), [batch.length, 3, size, size]);
      const answer = session.run({ pixels: input });
      running.add(answer);
      const output = await answer.finally(() => {
        running.delete(answer);
        spare.push(pixels);
      });
      const embedding = output.embedding;
      if (!(embedding?.data instanceof Float32Array) || embedding.data.length !== batch.length * manifest.embed_dim) {
        const shape = `[${embedding?.dims.join(', ')}]`;
        throw new Error(`the graph's embedding is ${shape}, not float32 [${batch.length}, ${manifest.embed_dim}]`);
      }
      const { data } = embedding;
      return batch.map((_, row) => data.slice(row * manifest.embed_dim, (row + 1) * manifest.embed_dim));
    },
    async close() {
      isClosed = true;
      await Promise.allSettled(running);
      await session.release();
    },
  };
}

async function verify(folder: string, artefact: Artefact): Promise<void> {
  const path = join(folder, artefact.path);
  const digest = await digestOfFile(path);
  if (digest !== artefact.digest) {
    throw new Error(`${path} has digest ${digest}, the manifest says ${artefact.digest}: fetch the model again`);
  }
}
