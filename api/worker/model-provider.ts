// A model out of its files: manifest read and checked, artefacts verified, encoders opened when first needed.
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { sha256 } from '../registry/digest.ts';
import { type Encoder, openTable, openTextEncoder, type TokenIds } from '../text/onnx/encoder.ts';
import type { OpenSession, TextSession } from '../text/onnx/session.ts';
import { createStaticEncoder } from '../text/static/encoder.ts';
import { loadTokenizer, type Tokenizer } from '../text/tokenizers/wordpiece.ts';
import { ApiError } from './http/errors.ts';
import { type Lazy, lazily } from './isolate/lazily.ts';

/** Where a model's files come from: modules of the bundle, a folder, a bucket. `read` hands its buffer over for good. */
export interface ModelSource {
  manifest(): Promise<unknown>;
  read(artefact: Artefact): Promise<ArrayBuffer>;
  /** Lets go of what the source itself keeps in memory; nothing is read any more. */
  close?(): void;
}

export interface Model {
  manifest: ModelManifest;
  tokenizer: Lazy<Tokenizer>;
  student: Lazy<Encoder<TokenIds>>;
  static: Lazy<Encoder<TokenIds>>;
  /** Gives its memory back. The model answers nothing any more. */
  close(): Promise<void>;
}

/** Asked once a request, so that an implementation may move on to a newer model between two requests. */
export interface Registry {
  /** Runs `work` with the model that is current when it starts, and keeps that model open until it ends. */
  use<T>(work: (model: Model) => Promise<T>): Promise<T>;
}

/** One model for ever. */
export function createRegistry(source: ModelSource, open: OpenSession): Registry {
  const model = lazily(() => openModel(source, open));
  return { use: async (work) => work(await model()) };
}

export async function openModel(source: ModelSource, open: OpenSession): Promise<Model> {
  const parsed = ModelManifest.safeParse(await source.manifest());
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ApiError(
      'model_unavailable',
      `The model's manifest is invalid at ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  const manifest = parsed.data;
  const read = (artefact: Artefact) => readVerified(source, artefact);
  const { text } = manifest;
  let session: TextSession | undefined;
  return {
    manifest,
    tokenizer: lazily(async () =>
      loadTokenizer(new TextDecoder().decode(await read(text.tokenizer.vocabulary)), text.tokenizer.unk_id),
    ),
    student: lazily(async () => {
      const table = openTable(text.table, await read(text.table.file));
      const graph = await read(text.graph.file);
      const { weights } = text.graph;
      const files = { graph, weights: weights && { name: weights.name, data: await read(weights.file) } };
      session = await open(files);
      return openTextEncoder(table, session);
    }),
    static: lazily(async () =>
      createStaticEncoder(openTable(manifest.static.table, await read(manifest.static.table.file))),
    ),
    async close() {
      source.close?.();
      await session?.release();
    },
  };
}

async function readVerified(source: ModelSource, artefact: Artefact): Promise<ArrayBuffer> {
  const bytes = await source.read(artefact);
  const digest = await sha256(bytes);
  if (digest !== artefact.digest) {
    const message = `The model's file ${artefact.path} is not the one its manifest names: ${digest}, not ${artefact.digest}`;
    throw new ApiError('model_unavailable', message);
  }
  return bytes;
}
