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
/** However many ask at a time, one checks, and the others wait for what it finds: until then at most, for it may have been dropped. */
const checking = new WeakMap<Model, { until: number }>();
const POLL_MS = 5;

/** Compares the files once and computes every golden vector again, without admission: a busy isolate is ready too. */
export async function readyRoute({ request: { signal }, deps: { provider } }: Call): Promise<Reply> {
  const check = async (model: Model): Promise<ReadyReport> => {
    while (lately(model) === undefined && (checking.get(model)?.until ?? 0) > Date.now())
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    return lately(model) ?? checkNow(model);
  };
  return { json: await provider.use(check, { signal }) };
}

function lately(model: Model): ReadyReport | undefined {
  const last = found.get(model);
  return last && Date.now() - last.at < FRESH_MS ? last.report : undefined;
}

async function checkNow(model: Model): Promise<ReadyReport> {
  const mine = { until: Date.now() + FRESH_MS };
  checking.set(model, mine);
  try {
    await model.verify();
    const { name, version, space_id } = model.manifest;
    const report: ReadyReport = { status: 'ok', model: name, version, space_id, golden: await checkGolden(model) };
    found.set(model, { at: Date.now(), report });
    return report;
  } finally {
    if (checking.get(model) === mine) checking.delete(model);
  }
}
