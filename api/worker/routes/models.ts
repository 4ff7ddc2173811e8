// GET /v1/models: what `model` may name, and what each takes and gives.
import { listModels } from '../../core/model.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

export async function modelsRoute({ deps: { provider } }: Call): Promise<Reply> {
  return { json: await provider.use(async (model) => listModels(model)) };
}
