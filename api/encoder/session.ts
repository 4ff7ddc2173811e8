// The image tower: opens the ONNX graph that the manifest names, after its digest has been checked, and runs batches.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ENVARS } from '../../contracts/src/envars.ts';
import { FILES } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { CoreError } from '../core/errors.ts';
import { parseDocument } from '../registry/read.ts';
import { digestOfFile, sha256Of } from '../registry/stores/hash.ts';
import { readIfPresent } from './files.ts';
import { fixOnePicture } from './one-picture.ts';
import type { Prepared } from './pixels/preprocess.ts';

/** Prepared pictures in, vectors of [embed_dim] out, in the same order. */
export interface ImageSession {
  run(pictures: Prepared[]): Promise<Float32Array[]>;
  /** Pictures that are computed together: of more, as many are at a time, one such batch after the other. */
  batch: number;
  /** Lets what runs finish, and refuses what comes later. */
  close(): Promise<void>;
}

export async function readManifest(folder: string): Promise<ModelManifest> {
  const path = join(folder, FILES.manifest);
  const text = await readIfPresent(path);
  if (text === undefined) {
    throw new UserError(`there is no model at ${path}: train one, or name the folder of another`);
  }
  return parseDocument(ModelManifest, text, path);
}

/** What runs the graph. */
export type Provider = 'cpu' | 'cuda';

/** As the environment names it; absent or empty: processors. */
export function providerOf(name: string | undefined): Provider {
  const provider = name || 'cpu';
  if (provider === 'cpu' || provider === 'cuda') return provider;
  throw new UserError(`$${ENVARS.encoderProvider} is ${provider}: there are cpu and cuda`);
}

/**
 * Processors are as fast with one picture at a time, whose layers stay in the cache, and its vector then depends on no other picture; a GPU
 * has no such cache, and takes all that is read together.
 */
const BATCH: Record<Provider, number> = { cpu: 1, cuda: 32 };

export interface SessionOptions {
  /** Cores that one run may use. */
  threads: number;
  /** @default 'cpu' */
  provider?: Provider | undefined;
  /** Pictures of one shape that are computed together; of itself 1 on processors. */
  batch?: number | undefined;
}

export async function openSession(
  folder: string,
  manifest: ModelManifest,
  { threads, provider = 'cpu', batch = BATCH[provider] }: SessionOptions,
): Promise<ImageSession> {
  const graph = await readGraph(folder, manifest);
  if (batch === 1) fixOnePicture(graph.bytes);
  // Read as the library begins. Without it the library writes down who runs which model, and sends that to its maker.
  process.env.ORT_DISABLE_TELEMETRY = '1';
  // Imported here so that decoding and preprocessing work without the runtime's native library.
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const session = await InferenceSession.create(graph.bytes, {
    // Where CUDA cannot be had no session opens: on processors alone it would be a slow encoder at the price of a fast one.
    executionProviders: provider === 'cuda' ? ['cuda', 'cpu'] : ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    extra: {
      session: {
        // Threads that wait for their share of a layer sleep. Turning, they take the cores that decode, and are paid for.
        intra_op: { allow_spinning: '0' },
        ...(graph.weights === undefined ? {} : { model_external_initializers_file_folder_path: graph.weights }),
      },
    },
  });
  let isClosed = false;
  const running = new Set<Promise<unknown>>();
  // Megabytes a batch: taken again, they do not wait for a collection while the next ones are made.
  const spare: Float32Array[] = [];

  function joined(pictures: Prepared[], length: number): Float32Array {
    const before = spare.pop();
    const pixels =
      before && before.length >= length * pictures.length ? before : new Float32Array(length * pictures.length);
    for (const [at, { tensor }] of pictures.entries()) pixels.set(tensor, at * length);
    return pixels;
  }

  /** Of at most `batch` pictures of one shape. */
  async function runOnce(pictures: [Prepared, ...Prepared[]]): Promise<Float32Array[]> {
    const [first, second] = pictures;
    const count = pictures.length;
    const { width, height } = first;
    const length = 3 * width * height;
    const pixels = second ? joined(pictures, length) : first.tensor;
    const input = new Tensor('float32', pixels.subarray(0, count * length), [count, 3, height, width]);
    const { embedding } = await session.run({ pixels: input });
    if (second) spare.push(pixels);
    if (!(embedding?.data instanceof Float32Array) || embedding.data.length !== count * manifest.embed_dim) {
      const shape = `[${embedding?.dims.join(', ')}]`;
      throw new Error(`the graph's embedding is ${shape}, not float32 [${count}, ${manifest.embed_dim}]`);
    }
    const { data } = embedding;
    return pictures.map((_, row) => data.slice(row * manifest.embed_dim, (row + 1) * manifest.embed_dim));
  }

  async function runAll(pictures: Prepared[]): Promise<Float32Array[]> {
    const vectors = new Map<Prepared, Float32Array>();
    for (const some of batchesOf(pictures, batch)) {
      for (const [at, vector] of (await runOnce(some)).entries()) {
        const picture = some[at];
        if (picture) vectors.set(picture, vector);
      }
    }
    return pictures.flatMap((picture) => vectors.get(picture) ?? []);
  }
  return {
    batch,
    async run(pictures) {
      // Photos of a client that is gone may still be decoded when the process stops.
      if (isClosed) throw new CoreError('encoder_unavailable', 'the image encoder is stopping');
      const answer = runAll(pictures);
      running.add(answer);
      return answer.finally(() => running.delete(answer));
    },
    async close() {
      isClosed = true;
      await Promise.allSettled(running);
      await session.release();
    },
  };
}

/** At most `most` at a time, all of one shape. */
function batchesOf(pictures: Prepared[], most: number): [Prepared, ...Prepared[]][] {
  const batches: [Prepared, ...Prepared[]][] = [];
  const open = new Map<string, [Prepared, ...Prepared[]]>();
  for (const picture of pictures) {
    const shape = `${picture.width} ${picture.height}`;
    const batch = open.get(shape);
    if (batch && batch.length < most) batch.push(picture);
    else {
      const fresh: [Prepared, ...Prepared[]] = [picture];
      open.set(shape, fresh);
      batches.push(fresh);
    }
  }
  return batches;
}

/** `weights`: the folder of its file of weights, where they are not inside of it. */
async function readGraph(folder: string, { image }: ModelManifest): Promise<{ bytes: Uint8Array; weights?: string }> {
  const { file, weights } = image.graph;
  const path = join(folder, file.path);
  const bytes = await readFile(path);
  verify(path, file, sha256Of(bytes));
  if (!weights) return { bytes };
  const beside = join(folder, weights.file.path);
  verify(beside, weights.file, await digestOfFile(beside));
  if (join(dirname(path), weights.name) !== beside) {
    throw new Error(`${file.path} looks for its weights beside itself as ${weights.name}, not at ${weights.file.path}`);
  }
  return { bytes, weights: dirname(path) };
}

function verify(path: string, artefact: Artefact, digest: string): void {
  if (digest === artefact.digest) return;
  throw new Error(`${path} has digest ${digest}, the manifest says ${artefact.digest}: fetch the model again`);
}
