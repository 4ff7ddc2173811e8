// GET /health/live: the process answers. GET /health/ready: it has the files that its manifest names, and computes what it says.
import type { LiveReport, ReadyReport } from '../../../contracts/src/api/models.ts';
import { checkGolden } from '../../core/golden.ts';
import type { Model } from '../../core/model.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

export async function liveRoute(): Promise<Reply> {
  return { json: { status: 'ok' } satisfies LiveReport };
}

/** Anybody may ask, and a check is a tenth of a second's work: what was found a moment ago is told again. */
const FRESH_MS = 2000;
const found = new WeakMap<Model, { at: number; report: ReadyReport }>();

/** Compares the files once and computes every golden vector again, without admission: a busy isolate is ready too. */
export async function readyRoute({ request: { signal }, deps: { provider } }: Call): Promise<Reply> {
  const check = async (model: Model): Promise<ReadyReport> => {
    const last = found.get(model);
    if (last && Date.now() - last.at < FRESH_MS) return last.report;
    await model.verify();
    const { name, version, space_id } = model.manifest;
    const report: ReadyReport = { status: 'ok', model: name, version, space_id, golden: await checkGolden(model) };
    found.set(model, { at: Date.now(), report });
    return report;
  };
  return { json: await provider.use(check, { signal }) };
}
