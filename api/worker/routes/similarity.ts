// POST /similarity: two sides, embedded or ready, as a matrix, pairs or the best matches.
import {
  type PartialSimilarityResponse,
  SimilarityRequest,
  type SimilarityResponse,
  type VectorItem,
} from '../../../contracts/src/api/similarity.ts';
import { errorMember } from '../../core/error-document.ts';
import { toItem, withBytes } from '../../core/items/content.ts';
import type { Item } from '../../core/items/items.ts';
import type { Planning } from '../../core/plan.ts';
import { planSimilarity, similarity, similarityPartially } from '../../core/similarity/similarity.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { answer, isTeiBody, refuseDryRun } from './answer.ts';

export async function similarityRoute(call: Call): Promise<Reply> {
  const body = await readJson(call.request);
  if (isTeiBody(body)) {
    refuseDryRun(call);
    const { teiSimilarity } = await import('../doors/tei.ts');
    return teiSimilarity(call, body);
  }
  const sent = parseRequest(SimilarityRequest, body);
  const asked = { ...sent, a: listOf(sent.a), b: listOf(sent.b) };
  const { on_error: onError } = sent;
  const task = {
    operation: 'similarity' as const,
    asked,
    plan: (planning: Planning) => planSimilarity(planning, { ...asked, onError }),
  };
  if (onError !== 'partial') {
    return answer(call, {
      ...task,
      compute: (model, engines) => similarity(model, engines, asked),
      render: (json) => ({ json: json satisfies SimilarityResponse, isWhole: true }),
    });
  }
  return answer(call, {
    ...task,
    compute: (model, engines) => similarityPartially(model, engines, asked),
    render({ failures, ...scored }) {
      const errors = failures.map(({ error, ...place }) => ({ ...place, error: errorMember(error) }));
      return { json: { ...scored, errors } satisfies PartialSimilarityResponse, isWhole: errors.length === 0 };
    },
  });
}

function listOf(side: SimilarityRequest['a']): (Item | VectorItem)[] {
  return [side]
    .flat()
    .map((item) => (typeof item !== 'string' && 'embedding' in item ? readyItem(item) : withBytes(toItem(item))));
}

/** Without what is not used, which may be anything: no answer follows from it, and the tag of none. */
function readyItem({ embedding, type, space_id, modality, truncation }: VectorItem): VectorItem {
  const { tokens_total } = truncation ?? {};
  return { embedding, type, space_id, modality, truncation: { tokens_total } };
}
