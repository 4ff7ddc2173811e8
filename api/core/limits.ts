// The limits of one request, and the refusals of what is beyond them.
import type { KeyTerms, LimitsReport, PlanLimits } from '../../contracts/src/api/limits.ts';
import { CoreError } from './errors.ts';
import { choices, type Model, type Tier } from './model.ts';

interface Size {
  tier: Tier;
  items: number;
  tokens: number;
}

/** Throws where a request is more than the platform lets this tier compute for one. */
export function checkSize({ tier, items, tokens }: Size, limits: PlanLimits): void {
  checkItems(items, limits);
  const most = limits.tokens[tier];
  if (tokens <= most) return;
  const advice = `Split it into ${Math.ceil(tokens / most)} or more requests, or cut its texts.`;
  throw new CoreError('too_many_tokens', `The texts have ${tokens} tokens; a request may have ${most}. ${advice}`);
}

/** `param`: the list that they are in, where it is one. */
export function checkItems(items: number, { items: most, plan }: PlanLimits, param?: string): void {
  if (items <= most) return;
  const message = `A request may hold ${most} items on the ${plan} plan; ${items} were sent.`;
  throw new CoreError('too_many_items', message, param === undefined ? {} : { param });
}

/** Two lists that are compared: what the request calls each, and how many entries are compared with how many. */
export interface Comparison {
  names: [string, string];
  counts: [number, number];
}

/** Throws where a request compares more than an isolate holds the scores of. */
export function checkPairs({ names, counts: [a, b] }: Comparison, { plan, pairs: most }: PlanLimits): void {
  if (a * b <= most) return;
  const [one, other] = names;
  const message =
    `${one} and ${other} make ${a} x ${b} = ${a * b} pairs; a request may have ${most} on the ${plan} plan. ` +
    `Split ${one} into ${Math.ceil((a * b) / most)} or more requests.`;
  throw new CoreError('too_many_items', message, { param: one });
}

/** `key`: what is asked of the caller's key; null: nothing is counted. */
export function reportLimits(model: Model, key: KeyTerms | null): LimitsReport {
  const { plan, tokens, ...limits } = model.limits;
  const { text, embed_dim } = model.manifest;
  const models = choices(model).map(({ id, tier }) => ({
    id,
    tier,
    tokens: tokens[tier],
    context_length: text.context_length,
    dimensions: embed_dim,
  }));
  return { object: 'limits', plan, ...limits, key, models };
}
