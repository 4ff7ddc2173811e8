// Opens a model from its files: manifest checked, artefacts verified, tokenizer and encoders opened at their first use.
import { PLAN_LIMITS, type PlanLimits } from '../../contracts/src/api/limits.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { CoreError } from '../core/errors.ts';
import type { Model } from '../core/model.ts';
import { RegistryError } from '../registry/errors.ts';
import { type ModelSource, readVerified } from '../registry/read.ts';
import type { OpenTextEngine, TextEngine } from './engine.ts';
import { createStaticEncode } from './static/encode.ts';
import { openTable } from './table.ts';
import { openTokenizer } from './tokenizers/tokenizers.ts';

export interface OpenModelOptions {
  /** Runs the student. */
  engine: TextEngine;
  /** Makes a value at its first use and keeps it. How concurrent callers wait for it is the rule of the runtime. */
  once<T>(make: () => Promise<T>): () => Promise<T>;
  /** Absent: those of the paid plan. */
  limits?: PlanLimits | undefined;
}

export async function openModel(
  source: ModelSource,
  { engine, once, limits = PLAN_LIMITS.paid }: OpenModelOptions,
): Promise<Model> {
  const manifest = parseManifest(await source.manifest());
  const read = (artefact: Artefact) => readArtefact(source, artefact);
  const { text, static: fast } = manifest;
  let student: OpenTextEngine | undefined;
  return {
    manifest,
    limits,
    tokenizer: once(() => openTokenizer(text.tokenizer, read)),
    student: once(async () => {
      student = await engine.open(text, read);
      return student.encode;
    }),
    static: once(async () =>
      createStaticEncode(openTable(fast.table, await read(fast.table.file)), text.tokenizer.unk_id),
    ),
    async close() {
      source.close?.();
      await student?.close();
    },
  };
}

function parseManifest(document: unknown): ModelManifest {
  const parsed = ModelManifest.safeParse(document);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CoreError(
    'model_unavailable',
    `The model's manifest is invalid at ${issue?.path.join('.')}: ${issue?.message}`,
  );
}

/** A file that is missing or altered makes the model unavailable; any other error is our own fault. */
async function readArtefact(source: ModelSource, artefact: Artefact): Promise<ArrayBuffer> {
  try {
    return await readVerified(source, artefact);
  } catch (error) {
    throw error instanceof RegistryError ? new CoreError('model_unavailable', error.message) : error;
  }
}
