// A model out of its files: manifest read and checked, artefacts verified, encoders opened when first needed.
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { CoreError } from '../core/errors.ts';
import type { Model } from '../core/model.ts';
import { RegistryError } from '../registry/errors.ts';
import type { UseOptions } from '../registry/follow.ts';
import { type ModelSource, readVerified } from '../registry/read.ts';
import type { OpenTextEngine, TextEngine } from '../text/engine.ts';
import { createStaticEncode } from '../text/static/encode.ts';
import { openTable } from '../text/table.ts';
import { openTokenizer } from '../text/tokenizers/tokenizers.ts';
import { lazily } from './isolate/lazily.ts';

/** Asked once per request, so that an implementation may move on to a newer model between two requests. */
export interface ModelProvider {
  /** Runs `work` with the model that is current when it starts, and keeps that model open until it ends or `signal` aborts. */
  use<T>(work: (model: Model) => Promise<T>, options?: UseOptions): Promise<T>;
}

/** One model permanently. */
export function provideModel(source: ModelSource, engine: TextEngine): ModelProvider {
  const model = lazily(() => openModel(source, engine));
  return { use: async (work) => work(await model()) };
}

export async function openModel(source: ModelSource, engine: TextEngine): Promise<Model> {
  const parsed = ModelManifest.safeParse(await source.manifest());
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new CoreError(
      'model_unavailable',
      `The model's manifest is invalid at ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  const manifest = parsed.data;
  const read = async (artefact: Artefact) => {
    try {
      return await readVerified(source, artefact);
    } catch (error) {
      throw error instanceof RegistryError ? new CoreError('model_unavailable', error.message) : error;
    }
  };
  const { text } = manifest;
  let student: OpenTextEngine | undefined;
  return {
    manifest,
    tokenizer: lazily(() => openTokenizer(text.tokenizer, read)),
    student: lazily(async () => {
      student = await engine.open(text, read);
      return student.encode;
    }),
    static: lazily(async () =>
      createStaticEncode(openTable(manifest.static.table, await read(manifest.static.table.file))),
    ),
    async close() {
      source.close?.();
      await student?.close();
    },
  };
}
