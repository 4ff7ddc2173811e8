// GET /health/live: the process answers. GET /health/ready: it computes what its manifest says.
import type { LiveReport, ReadyReport } from '../../../contracts/src/api/models.ts';
import { checkGolden } from '../../core/golden.ts';
import type { Model } from '../../core/model.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

export async function liveRoute(): Promise<Reply> {
  return { json: { status: 'ok' } satisfies LiveReport };
}

/** Computes every golden vector again each time, without a permit: a busy isolate is ready too. */
export async function readyRoute({ request: { signal }, deps: { provider } }: Call): Promise<Reply> {
  const check = async (model: Model): Promise<ReadyReport> => {
    const { name, version, space_id } = model.manifest;
    return { status: 'ok', model: name, version, space_id, golden: await checkGolden(model) };
  };
  return { json: await provider.use(check, { signal }) };
}
