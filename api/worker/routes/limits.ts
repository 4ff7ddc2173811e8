// GET /v1/limits: what one request may hold, and what the key that asks may ask for.
import { reportLimits } from '../../core/limits.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

export async function limitsRoute({ deps: { provider }, keyTerms }: Call): Promise<Reply> {
  return { json: await provider.use(async (model) => reportLimits(model, keyTerms ?? null)) };
}
