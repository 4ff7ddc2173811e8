// Answers a request of our own form: as a dry run where that is asked, as 304 where the client has the answer already,
// and else by computing it.

import { isAny, isNamed } from '../../../contracts/src/api/download.ts';
import type { Usage } from '../../../contracts/src/api/embed.ts';
import type { OperationId } from '../../../contracts/src/api/operations.ts';
import { DRY_RUN, type DryRunResponse } from '../../../contracts/src/api/tasks/dry-run.ts';
import { fieldOf } from '../../../contracts/src/json.ts';
import type { Engines } from '../../core/embed.ts';
import { errorMember } from '../../core/error-document.ts';
import { CoreError, quoted } from '../../core/errors.ts';
import { chooseModel, type Model } from '../../core/model.ts';
import { type Plan, type Planning, priceOf } from '../../core/plan.ts';
import type { Call, Dependencies } from '../dependencies.ts';
import { etagOf } from '../http/etag.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';

interface Output {
  model: string;
  usage: Usage;
  pixels?: number;
}
/** What an operation is, apart from how it is asked. */
export interface Task<T extends Output> {
  operation: OperationId;
  /** Images as bytes; what is equal is answered equally. */
  asked: { model?: string | undefined };
  plan(planning: Planning): Promise<Plan>;
  compute(model: Model, engines: Engines): Promise<T>;
  /** `isWhole`: nothing failed that may succeed another time. */
  render(output: T): { json: object; isWhole: boolean };
}

/** A client may keep an answer, for itself, and asks every time whether it still holds. What depends on the origin, CORS says. */
const CACHE_CONTROL = { 'Cache-Control': 'private, no-cache' };

export async function answer<T extends Output>(call: Call, task: Task<T>): Promise<Reply> {
  const { request, deps, record } = call;
  const isDry = asksFirst(request);
  const condition = request.headers.get('if-none-match');
  const { reply } = await withModel(call, async (model, engines): Promise<Partial<Output> & { reply: Reply }> => {
    const planning = { model, admit: engines.admit };
    if (isDry) {
      const plan = await task.plan(planning);
      return { model: plan.model, reply: { json: written(plan, deps) } };
    }
    const { id } = chooseModel(model, task.asked.model);
    const { manifest } = model;
    const asked = { ...task.asked, model: undefined };
    const { version } = deps;
    const etag = () => etagOf({ operation: task.operation, model: id, manifest, version, asked });
    if (condition !== null) {
      const tag = await etag();
      // Tags are of requests that were answered. `*` may be of one that would not be.
      if (isNamed(tag, condition) && (!isAny(condition) || isGood(await task.plan(planning)))) {
        record.cache = 'not_modified';
        return { model: id, reply: { status: 304, stream: null, headers: { ETag: tag, ...CACHE_CONTROL } } };
      }
    }
    const output = await task.compute(model, engines);
    const { json, isWhole } = task.render(output);
    const headers = { ...CACHE_CONTROL, ...(isWhole ? { ETag: await etag() } : {}) };
    const { usage, pixels = 0 } = output;
    return { model: id, usage, pixels, reply: { json, headers } };
  });
  return reply;
}

/** Whether a dry run is asked for. */
export function asksFirst({ url }: Request): boolean {
  // Most addresses have no question: reading one takes longer than looking for it.
  if (!url.includes('?')) return false;
  const values = new URL(url).searchParams.getAll('dry_run');
  const wrong = values.find((value) => !DRY_RUN.dry_run.safeParse(value).success);
  if (wrong === undefined) return values.length > 0;
  const message = `dry_run may be 1 or true, not ${quoted(wrong)}; leave it out to have the request answered.`;
  throw new CoreError('invalid_request', message, { param: 'dry_run' });
}

/** Whether a body on a path of ours is one of Text Embeddings Inference: ours have no `inputs`. */
export function isTeiBody(body: unknown): boolean {
  const has = (key: string): boolean => fieldOf(body, key) !== undefined;
  return has('inputs') && !['input', 'a', 'b'].some(has);
}

/** Throws where a dry run is asked of another service's body on the same path: that has none, and would be answered and charged. */
export function refuseDryRun({ request }: Call): void {
  if (!asksFirst(request)) return;
  const message = 'dry_run is for bodies of this service (input, or a and b), not for those with inputs.';
  throw new CoreError('invalid_request', message, { param: 'dry_run' });
}

function isGood({ items }: Plan): boolean {
  return items.every((item) => !('error' in item));
}

function written({ items, ...plan }: Plan, { prices }: Dependencies): DryRunResponse {
  return {
    object: 'dry_run',
    ...plan,
    items: items.map((item) => ('error' in item ? { param: item.param, error: errorMember(item.error) } : item)),
    ...(prices ? { price: priceOf(plan.usage, prices) } : {}),
  };
}
