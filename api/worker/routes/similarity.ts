// POST /similarity: two sides, embedded or ready, as a matrix, pairs or the best matches.
import { SimilarityRequest, type VectorItem } from '../../../contracts/src/api/similarity.ts';
import { toItem, withBytes } from '../../core/items/content.ts';
import type { Item } from '../../core/items/items.ts';
import { planSimilarity, similarity } from '../../core/similarity/similarity.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import { isTeiBody, teiSimilarity } from '../doors/tei.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { answer, refuseDryRun } from './answer.ts';

export async function similarityRoute(call: Call): Promise<Reply> {
  const body = await readJson(call.request);
  if (isTeiBody(body)) {
    refuseDryRun(call);
    return teiSimilarity(call, body);
  }
  const sent = parseRequest(SimilarityRequest, body);
  const asked = { ...sent, a: listOf(sent.a), b: listOf(sent.b) };
  return answer(call, {
    operation: 'similarity',
    asked,
    plan: (planning) => planSimilarity(planning, asked),
    compute: (model, engines) => similarity(model, engines, asked),
    render: (json) => ({ json, isWhole: true }),
  });
}

function listOf(side: SimilarityRequest['a']): (Item | VectorItem)[] {
  return [side]
    .flat()
    .map((item) => (typeof item !== 'string' && 'embedding' in item ? item : withBytes(toItem(item))));
}
