// POST /similarity: two sides, embedded or ready, as a matrix, pairs or the best matches.
import { type SimilarityItem, SimilarityRequest } from '../../../contracts/src/api/similarity.ts';
import { similarity } from '../../core/similarity/similarity.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Dependencies } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';

export async function similarityRoute(request: Request, { provider, images, admission }: Dependencies): Promise<Reply> {
  const asked = parseRequest(SimilarityRequest, await readJson(request));
  const sides = { a: listOf(asked.a), b: listOf(asked.b) };
  const { signal } = request;
  const engines = { images, admit: admission(signal) };
  return { json: await provider.use((model) => similarity(model, engines, { ...asked, ...sides }), { signal }) };
}

function listOf(side: SimilarityRequest['a']): SimilarityItem[] {
  return Array.isArray(side) ? side : [side];
}
