// POST /embed: texts and images in, embeddings in the same order out.

import type { z } from 'zod';
import { type EmbeddingItem, EmbedRequest, type EmbedResponse } from '../../../contracts/src/api/embed.ts';
import { chooseDimensions, chooseModel, type Embedded, embedItems } from '../../core/items.ts';
import { encodeEmbedding } from '../../core/vectors.ts';
import type { Dependencies } from '../app.ts';
import { readDocument } from '../http/body.ts';
import { parseRequest } from '../http/validation.ts';
import type { Model } from '../model-provider.ts';

export async function embed(request: Request, deps: Dependencies): Promise<EmbedResponse> {
  const asked = parseRequest(EmbedRequest, await readDocument(request, true));
  return deps.registry.use((model) => embedWith(model, deps, asked));
}

async function embedWith(model: Model, deps: Dependencies, { input, ...asked }: EmbedRequest): Promise<EmbedResponse> {
  const { id, tier } = chooseModel(model, asked.model);
  const dimensions = chooseDimensions(model, asked.dimensions);
  const types = [...new Set(asked.types ?? ['float' as const])];
  const items = Array.isArray(input) ? input : [input];
  const options = { tier, dimensions, truncate: asked.truncate ?? 'end', field: 'input' };
  const { embedded, usage } = await embedItems(model, deps, items, options);
  const { space_id } = model.manifest;
  const data = embedded.map((item, index) => toItem(item, index, types));
  return { object: 'list', model: id, space_id, dimensions, data, usage };
}

type Types = NonNullable<EmbedRequest['types']>;

/** One type: the vector itself. Several: an object by type. */
function toItem(
  { modality, embedding, truncation }: Embedded,
  index: number,
  types: Types,
): z.infer<typeof EmbeddingItem> {
  const [only] = types;
  const encoded =
    types.length === 1 && only
      ? encodeEmbedding(embedding, only)
      : Object.fromEntries(types.map((type) => [type, encodeEmbedding(embedding, type)]));
  return { object: 'embedding', index, modality, embedding: encoded, ...(truncation ? { truncation } : {}) };
}
