// GET /health/live: the process answers. GET /health/ready: it computes what its manifest says.
import { dot, isUnit } from '../../shared/embedding.ts';
import type { Dependencies } from '../app.ts';
import { encodeTexts, prepareText } from '../embed-items.ts';
import { ApiError } from '../errors.ts';
import type { Model } from '../registry.ts';

export async function live(): Promise<object> {
  return { status: 'ok' };
}

/** Recomputes every golden vector of the manifest, each time: a proof of yesterday would prove nothing. */
export async function ready(_: Request, { registry, admit }: Dependencies): Promise<object> {
  const model = await registry.current();
  const { name, version, space_id, golden } = model.manifest;
  const checks: { tier: string; cosine: number; min_cosine: number }[] = [];
  for (const { text, tier, embedding, min_cosine } of golden) {
    const cosine = await recompute(model, admit, text, tier, embedding);
    if (!(cosine >= min_cosine)) {
      const message = `The ${tier} model's vector for ${JSON.stringify(text)} has cosine ${cosine} to the published one; ${min_cosine} is needed.`;
      throw new ApiError('model_unavailable', message);
    }
    checks.push({ tier, cosine, min_cosine });
  }
  return { status: 'ok', model: name, version, space_id, golden: checks };
}

async function recompute(
  model: Model,
  admit: Dependencies['admit'],
  text: string,
  tier: 'student' | 'static',
  published: number[],
): Promise<number> {
  const options = { tier, dimensions: published.length, truncate: 'end' as const, field: 'golden' };
  const prepared = prepareText(text, await model.tokenizer(), model, options, 0);
  const [vector] = await encodeTexts(model, admit, [prepared], tier);
  return vector && isUnit(vector) ? dot(vector, published) : Number.NaN;
}
