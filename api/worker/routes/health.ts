// GET /health/live: the process answers. GET /health/ready: it computes what its manifest says.
import type { LiveReport, ReadyReport } from '../../../contracts/src/api/models.ts';
import { checkGolden } from '../../core/golden.ts';
import type { Dependencies } from '../app.ts';

export async function live(): Promise<LiveReport> {
  return { status: 'ok' };
}

/** Recomputes every golden vector of the manifest, each time: a proof of yesterday would prove nothing. */
export async function ready(_: Request, { registry, admit }: Dependencies): Promise<ReadyReport> {
  return registry.use(async (model) => {
    const { name, version, space_id } = model.manifest;
    return { status: 'ok', model: name, version, space_id, golden: await checkGolden(model, admit) };
  });
}
