// Opens a model from its files: manifest checked, artefacts verified, tokenizer and encoders opened at their first use.
import { PLAN_LIMITS, type PlanLimits } from '../../contracts/src/api/limits.ts';
import type { Artefact, FilePart } from '../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { Tier } from '../../contracts/src/model/tier.ts';
import { ownArtefacts, textTowers, withPacked } from '../../contracts/src/model/towers.ts';
import { CoreError } from '../core/errors.ts';
import type { Model } from '../core/model.ts';
import { RegistryError } from '../registry/errors.ts';
import { type ModelSource, readVerified } from '../registry/read.ts';
import type { Encode, OpenTextEngine, ReadArtefact, RowSums, StaticTables, TextEngine } from './engine.ts';
import { createStaticEncode, sumsOf } from './static/encode.ts';
import { addStatic } from './sum.ts';
import { openTable } from './table.ts';
import { openTokenizer } from './tokenizers/tokenizers.ts';

export interface OpenModelOptions {
  /** Runs the transformers. */
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
  const document = await source.manifest();
  const manifest = source.isDeployed ? (document as ModelManifest) : await parseManifest(document);
  const read = readerOf(source);
  /** What is known of packed files, which is asked when one of them may be opened. */
  const packed = once(() => orUnavailable(async () => (await source.packed?.()) ?? {}));
  const whole = async () => withPacked(manifest, await packed());
  const opened: Pick<OpenTextEngine | RowSums, 'close'>[] = [];
  const openStatic = once(async () => {
    const { encode, sums } = await openStaticTier(manifest, { engine, read });
    opened.push(sums);
    return encode;
  });

  async function openTower(tier: Exclude<Tier, 'static'>): Promise<Encode> {
    const tower = textTowers(await whole())[tier];
    if (!tower) throw new CoreError('model_not_found', `The model ${manifest.name} has no ${tier} tier.`);
    const { static_weight: weight } = tower;
    const opening = engine.open(tower, read).then((open) => {
      opened.push(open);
      return open;
    });
    const [{ encode }, fast] = await Promise.all([opening, weight ? openStatic() : undefined]);
    return weight && fast ? addStatic(encode, { static: fast, weight }) : encode;
  }

  const tiers: Record<Tier, () => Promise<Encode>> = {
    student: once(() => openTower('student')),
    tiny: once(() => openTower('tiny')),
    static: openStatic,
  };
  return {
    manifest,
    limits,
    tokenizer: once(async () => openTokenizer(manifest.text.tokenizer, read, (await packed()).index)),
    encoder: (tier) => tiers[tier](),
    verify: once(async () => {
      if (!source.isDeployed) return;
      const { index } = await packed();
      await verifyFiles(source, [...ownArtefacts(await whole()), ...(index ? [index] : [])]);
    }),
    async close() {
      source.close?.();
      for (const open of opened) await open.close();
    },
  };
}

async function openStaticTier(
  { name, text, static: fast }: ModelManifest,
  { engine, read }: { engine: TextEngine; read: ReadArtefact },
): Promise<{ encode: Encode; sums: RowSums }> {
  if (!fast) throw new CoreError('model_not_found', `The model ${name} has no static tier.`);
  const sums = (await engine.openSums?.(fast, read)) ?? (await sumsInTypeScript(fast, read));
  const { unk_id, sep_id, pad_id } = text.tokenizer;
  const first = 'cls_id' in text.tokenizer ? [text.tokenizer.cls_id] : [];
  return { encode: createStaticEncode(sums, { silent: [unk_id, ...first, sep_id, pad_id] }), sums };
}

async function sumsInTypeScript({ table, projection }: StaticTables, read: ReadArtefact): Promise<RowSums> {
  const rows = openTable(table, await read(table.file));
  return sumsOf(rows, projection && openTable(projection, await read(projection.file)));
}

/** By a schema that an isolate makes when it first opens a model that its deployment does not vouch for. */
async function parseManifest(document: unknown): Promise<ModelManifest> {
  const { ModelManifest } = await import('../../contracts/src/model/manifest.ts');
  const parsed = ModelManifest.safeParse(document);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CoreError(
    'model_unavailable',
    `The model's manifest is invalid at ${issue?.path.join('.')}: ${issue?.message}`,
  );
}

/** In chunks and parts only what needs no digest, which is known when all of a file was read. */
function readerOf(source: ModelSource): ReadArtefact {
  if (!source.isDeployed) return (artefact) => orUnavailable(() => readVerified(source, artefact));
  const read = (artefact: Artefact) => orUnavailable(() => source.read(artefact));
  return Object.assign(read, {
    ...(source.chunks ? { chunks: (artefact: Artefact) => chunksOf(source, artefact) } : {}),
    ...(source.parts ? { parts: (artefact: Artefact) => partsOf(source, artefact) } : {}),
  });
}

const partsOf = (source: ModelSource, artefact: Artefact): FilePart[] =>
  (source.parts?.(artefact) ?? []).map((part) => ({ ...part, read: () => orUnavailable(part.read) }));

async function* chunksOf(source: ModelSource, artefact: Artefact): AsyncGenerator<Uint8Array> {
  try {
    yield* source.chunks?.(artefact) ?? [];
  } catch (error) {
    throw toUnavailable(error);
  }
}

/** One after the other: nothing of them is kept. */
async function verifyFiles(source: ModelSource, artefacts: Artefact[]): Promise<void> {
  for (const artefact of artefacts) await orUnavailable(() => readVerified(source, artefact));
}

async function orUnavailable<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw toUnavailable(error);
  }
}

/** A file that is missing or altered makes the model unavailable; any other error is our own fault. */
function toUnavailable(error: unknown): unknown {
  return error instanceof RegistryError ? new CoreError('model_unavailable', error.message) : error;
}
