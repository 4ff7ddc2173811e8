// Computes a model's golden vectors again and compares them with the published ones.
import type { GoldenCheck } from '../../contracts/src/api/models.ts';
import type { GoldenVector } from '../../contracts/src/model/manifest.ts';
import { CoreError } from './errors.ts';
import { readText } from './items/read.ts';
import type { Model } from './model.ts';
import { cutUnit, dot, isUnit } from './vectors/vectors.ts';

/** Throws at the first golden vector that the model does not reproduce here. */
export async function checkGolden(model: Model): Promise<GoldenCheck[]> {
  const checks: GoldenCheck[] = [];
  for await (const { text, ...check } of recompute(model)) {
    if (!isReproduced(check)) {
      const { tier, cosine, min_cosine } = check;
      const message = `The ${tier} model's vector for ${JSON.stringify(text)} has cosine ${cosine} to the published one; ${min_cosine} is needed.`;
      throw new CoreError('model_unavailable', message);
    }
    checks.push(check);
  }
  return checks;
}

/** NaN is below every bound. */
export const isReproduced = ({ cosine, min_cosine }: GoldenCheck): boolean => cosine >= min_cosine;

/** The golden vectors of tiers that answer here, with the cosine of each to the one computed now, which may be NaN. */
export async function* recompute(model: Model): AsyncGenerator<GoldenCheck & { text: string }> {
  for (const golden of model.manifest.golden) {
    const { text, tier, min_cosine } = golden;
    if (model.limits.tokens[tier] > 0) yield { text, tier, cosine: await cosineTo(model, golden), min_cosine };
  }
}

async function cosineTo(model: Model, { text, tier, embedding }: GoldenVector): Promise<number> {
  const tokenizer = await model.tokenizer();
  const { ids } = readText(text, { tokenizer, manifest: model.manifest, tier, truncate: 'end' });
  const encode = await model.encoder(tier);
  const [vector] = await encode([ids]);
  const computed = vector && cutUnit(vector, embedding.length);
  return computed && isUnit(computed) ? Math.min(1, dot(computed, embedding)) : Number.NaN;
}
