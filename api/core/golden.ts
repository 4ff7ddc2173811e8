// The proof that a model computes here what it computed where it was published: its golden vectors, computed again.
import type { GoldenCheck } from '../../contracts/src/api/models.ts';
import { ApiError } from '../worker/http/errors.ts';
import type { Admission } from '../worker/middleware/admission.ts';
import type { Model } from '../worker/model-provider.ts';
import { encodeTexts, prepareText, type Tier } from './items.ts';
import { dot, isUnit } from './vectors.ts';

/** Every golden vector of the manifest; throws at the first that is not reached. */
export async function checkGolden(model: Model, admit: Admission): Promise<GoldenCheck[]> {
  const checks: GoldenCheck[] = [];
  for (const { text, tier, embedding, min_cosine } of model.manifest.golden) {
    const cosine = await recompute(model, admit, text, tier, embedding);
    if (!(cosine >= min_cosine)) {
      const message = `The ${tier} model's vector for ${JSON.stringify(text)} has cosine ${cosine} to the published one; ${min_cosine} is needed.`;
      throw new ApiError('model_unavailable', message);
    }
    checks.push({ tier, cosine, min_cosine });
  }
  return checks;
}

async function recompute(
  model: Model,
  admit: Admission,
  text: string,
  tier: Tier,
  published: number[],
): Promise<number> {
  const options = { tier, dimensions: published.length, truncate: 'end' as const, field: 'golden' };
  const prepared = prepareText(text, await model.tokenizer(), model, options, 0);
  const [vector] = await encodeTexts(model, admit, [prepared], tier);
  return vector && isUnit(vector) ? dot(vector, published) : Number.NaN;
}
