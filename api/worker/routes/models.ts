// GET /v1/models: what `model` may name, and what each takes and gives.
import { EmbeddingType, LIMITS } from '../../../contracts/src/api/embed.ts';
import type { ModelList } from '../../../contracts/src/api/models.ts';
import { choices } from '../../core/items.ts';
import type { Dependencies } from '../app.ts';
import type { Model } from '../model-provider.ts';

export async function models(_: Request, { registry }: Dependencies): Promise<ModelList> {
  return registry.use(async (model) => describe(model));
}

function describe(model: Model): ModelList {
  const { created_at, version, space_id, embed_dim, matryoshka_dims, text, metrics } = model.manifest;
  return {
    object: 'list',
    data: choices(model).map(({ id, tier }) => ({
      id,
      object: 'model',
      created: Math.floor(Date.parse(created_at) / 1000),
      owned_by: 'edge-clip',
      version,
      tier,
      modalities: ['text', 'image'],
      space_id,
      embed_dim,
      dimensions: [...new Set([embed_dim, ...matryoshka_dims])].sort((a, b) => b - a),
      context_length: text.context_length,
      types: EmbeddingType.options,
      limits: LIMITS,
      metrics,
    })),
  };
}
