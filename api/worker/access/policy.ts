// Whether anybody is answered without a key: what a deployment says in the variable ACCESS.
import type { Scope } from '../../../contracts/src/api/operation.ts';

/** The words that ACCESS takes. */
export const WORDS = { keys: 'keys', loopback: 'loopback', open: 'open to everyone' } as const;

/** A `problem` is what the person who deploys has to do before anything is answered. */
export type Policy = { who: keyof typeof WORDS } | { problem: string };

/** `access`: the variable; without it a namespace of keys is enough to know that keys are asked for. */
export function policyOf({ access, hasKeys }: { access: string | undefined; hasKeys: boolean }): Policy {
  const chosen = access === undefined ? 'keys' : Object.entries(WORDS).find(([, word]) => word === access)?.[0];
  const how = `bind a KV namespace as KEYS (docs/keys.md), or set ACCESS = "${WORDS.open}" if everyone may use it`;
  if (chosen === undefined) return { problem: `ACCESS is "${access}", and may be ${quoted(Object.values(WORDS))}.` };
  if (chosen === 'keys' && !hasKeys) return { problem: `Nothing says who may use this service: ${how}.` };
  return { who: chosen as keyof typeof WORDS };
}

/** Without a key: everything on this machine; where everyone is welcome, what costs no more than an answer. */
export function isOpen(policy: { who: keyof typeof WORDS }, scope: Scope): boolean {
  return policy.who === 'loopback' || (policy.who === 'open' && scope === 'embed');
}

/** The names of this machine for itself. A page elsewhere can make its own name resolve to it, but cannot send these. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|(.+\.)?localhost\.?|127(\.\d{1,3}){3}|\[::1\])$/i.test(hostname);
}

/** A page that this machine serves to itself, whatever its port. */
export function isLoopbackOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLoopback(new URL(origin).hostname);
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `"${word}"`).join(' or ');
}
