// POST /similarity: two sides, embedded or ready, as a matrix, pairs or the best matches.
import { type SimilarityItem, SimilarityRequest } from '../../../contracts/src/api/similarity.ts';
import { similarity } from '../../core/similarity.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Dependencies } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';

export async function similarityRoute(request: Request, { registry, images, admission }: Dependencies): Promise<Reply> {
  const asked = parseRequest(SimilarityRequest, await readJson(request));
  const engines = { images, admit: admission(request.signal) };
  return {
    json: await registry.use((model) =>
      similarity(model, engines, { ...asked, a: listOf(asked.a), b: listOf(asked.b) }),
    ),
  };
}

function listOf(side: SimilarityRequest['a']): SimilarityItem[] {
  return Array.isArray(side) ? side : [side];
}
