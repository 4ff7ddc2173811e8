// The model that requests are answered with, and what a request may choose of it.
import { EmbeddingType, Modality } from '../../contracts/src/api/embed.ts';
import type { PlanLimits } from '../../contracts/src/api/limits.ts';
import type { ModelEntry, ModelList } from '../../contracts/src/api/models.ts';
import type { ModelManifest, ScoreDistributions } from '../../contracts/src/model/manifest.ts';
import { Tier } from '../../contracts/src/model/tier.ts';
import { textTowers } from '../../contracts/src/model/towers.ts';
import type { SearchVerdicts } from '../../contracts/src/model/verdict.ts';
import type { Encode, Tokenizer } from '../text/engine.ts';
import { CoreError, quoted } from './errors.ts';
import { DEFAULT_QUANTISATION, type Quantisation } from './vectors/vectors.ts';

/** Each part is opened when it is first asked for. */
export interface Model {
  manifest: ModelManifest;
  /** What one request may hold. A tier that may have no token does not answer. */
  limits: PlanLimits;
  tokenizer(): Promise<Tokenizer>;
  /** A tier that the manifest lacks cannot be opened. */
  encoder(tier: Tier): Promise<Encode>;
  /** Reads every file of its texts and compares it with its digest, once, where that was not done when it was opened. */
  verify(): Promise<void>;
  /** Frees its memory; the model answers nothing any more. */
  close(): Promise<void>;
}

export type { Tier };
/** What decides which of its models answers, and how long its vectors may be. */
export type Offer = Pick<Model, 'manifest' | 'limits'>;
/** An id that `model` may name. */
export interface Choice {
  id: string;
  tier: Tier;
}

/** At least one; the first answers where none is named. */
export function choices(model: Offer): Choice[] {
  return tiersOf(model).filter(({ tier }) => model.limits.tokens[tier] > 0);
}

/** Whether they answer here or not. */
function tiersOf({ manifest }: Pick<Model, 'manifest'>): Choice[] {
  const towers = textTowers(manifest);
  const tiers = Tier.options.filter((tier) => (tier === 'static' ? manifest.static : towers[tier]));
  return tiers.map((tier) => ({ id: tier === 'student' ? manifest.name : `${manifest.name}-${tier}`, tier }));
}

/** Of an id as it is made above. */
export const tierOfId = (id: string): Tier =>
  Tier.options.find((tier) => tier !== 'student' && id.endsWith(`-${tier}`)) ?? 'student';

export function chooseModel(model: Offer, id: string | undefined): Choice {
  const all = choices(model);
  const found = id === undefined ? all[0] : all.find((choice) => choice.id === id);
  if (found) return found;
  const names = all.map((choice) => choice.id).join(', ');
  if (tiersOf(model).some((choice) => choice.id === id)) {
    const message = `${id} takes more CPU time than the ${model.limits.plan} plan gives a request; there is ${names}.`;
    throw new CoreError('model_not_found', message, { param: 'model' });
  }
  throw new CoreError('model_not_found', `There is no model ${quoted(id ?? '')}; there are ${names}.`, {
    param: 'model',
  });
}

/** Lengths that the space was trained to be cut to, the full one first. */
export function recommendedDimensions({ manifest: { embed_dim, matryoshka_dims } }: Pick<Model, 'manifest'>): number[] {
  return [...new Set([embed_dim, ...matryoshka_dims])].sort((a, b) => b - a);
}

/**
 * Any length up to the full one: the first numbers of a vector are a vector, at whatever place it is cut. `field`: what the
 * request calls them.
 */
export function chooseDimensions(
  model: Pick<Model, 'manifest'>,
  dimensions: number | undefined,
  field = 'dimensions',
): number {
  const { embed_dim: most } = model.manifest;
  if (dimensions === undefined) return most;
  if (Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= most) return dimensions;
  const message =
    `${field} may be a whole number from 1 to ${most}; not ${dimensions}. The model was trained for ` +
    `${recommendedDimensions(model).join(', ')} (GET /v1/models lists them).`;
  throw new CoreError('invalid_dimensions', message, { param: field });
}

export function quantisationOf({ manifest: { quantisation } }: Model): Quantisation {
  if (!quantisation) return DEFAULT_QUANTISATION;
  return { int8Scale: quantisation.int8_scale, bits: quantisation.bits ?? DEFAULT_QUANTISATION.bits };
}

/** What the scores of a tier at full length say where many things were searched. */
export interface KnownScores {
  /** Absent: single scores have no probability. */
  distributions?: ScoreDistributions | undefined;
  /** Absent: there is no verdict. */
  verdicts?: SearchVerdicts | undefined;
}

/** Undefined where they say nothing. */
export function knownScores(
  { score_distributions, search_verdicts }: ModelManifest,
  tier: Tier,
): KnownScores | undefined {
  const verdicts = search_verdicts?.[tier];
  const distributions = tier === 'student' ? score_distributions : undefined;
  return verdicts || distributions ? { verdicts, distributions } : undefined;
}

export function listModels(model: Model): ModelList {
  const { created_at, version, space_id, embed_dim, text, metrics, languages, search_verdicts } = model.manifest;
  const { plan: _, tokens, ...limits } = model.limits;
  const { int8Scale: int8_scale, bits } = quantisationOf(model);
  return {
    object: 'list',
    data: choices(model).map(({ id, tier }) => ({
      id,
      object: 'model',
      created: Math.floor(Date.parse(created_at) / 1000),
      owned_by: 'edge-clip',
      version,
      tier,
      modalities: Modality.options,
      space_id,
      embed_dim,
      dimensions: recommendedDimensions(model),
      context_length: text.context_length,
      types: EmbeddingType.options,
      int8_scale,
      bits,
      limits: { ...limits, tokens: tokens[tier] },
      metrics,
      candidates: knownScores(model.manifest, tier) !== undefined,
      ...(search_verdicts?.[tier] ? { search_verdicts: search_verdicts[tier] } : {}),
      ...(languages && tier === 'student' ? { languages } : {}),
    })),
  };
}

/** One entry of the list. */
export function retrieveModel(model: Model, id: string): ModelEntry {
  const choice = chooseModel(model, id);
  const entry = listModels(model).data.find((listed) => listed.id === choice.id);
  if (!entry) throw new Error(`the list of models lacks ${choice.id}`);
  return entry;
}
