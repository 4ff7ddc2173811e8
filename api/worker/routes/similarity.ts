// POST /similarity: two sides, embedded or ready, as a matrix, pairs or the best matches.
import { SimilarityRequest, type VectorItem } from '../../../contracts/src/api/similarity.ts';
import { toItem } from '../../core/items/content.ts';
import type { Item } from '../../core/items/items.ts';
import { similarity } from '../../core/similarity/similarity.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import { isTeiBody, teiSimilarity } from '../doors/tei.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';

export async function similarityRoute(call: Call): Promise<Reply> {
  const body = await readJson(call.request);
  if (isTeiBody(body)) return teiSimilarity(call, body);
  const asked = parseRequest(SimilarityRequest, body);
  const sides = { a: listOf(asked.a), b: listOf(asked.b) };
  return { json: await withModel(call, (model, engines) => similarity(model, engines, { ...asked, ...sides })) };
}

function listOf(side: SimilarityRequest['a']): (Item | VectorItem)[] {
  return [side].flat().map((item) => (typeof item !== 'string' && 'embedding' in item ? item : toItem(item)));
}
