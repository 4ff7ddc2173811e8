// Who asks, and whether that operation is for them: by their API key, or by being on this machine.
import { API_KEY, type ApiKey } from '../../../contracts/src/api/api-key.ts';
import { type Operation, SCOPES, type Scope } from '../../../contracts/src/api/operation.ts';
import { sha256Hex } from '../../core/encode/digest.ts';
import { ADDRESS, CoreError, shortened } from '../../core/errors.ts';
import { credentialOf } from '../access/credentials.ts';
import type { KeyCache } from '../access/key-cache.ts';
import type { Grant, Limits } from '../access/limits.ts';
import { isLoopback, isLoopbackOrigin, isOpen, type Policy } from '../access/policy.ts';

export interface AccessOptions {
  policy: Policy;
  /** Undefined: there are no keys. */
  keys?: KeyCache | undefined;
  /** What each key may ask for; undefined: unlimited. */
  limits?: Limits | undefined;
  /** Pages of these origins may ask without a key where this machine may. */
  origins?: readonly string[];
}

/** What is noted of a request: for its log line and the headers of its answer. */
export interface Asker {
  /** The first characters of the key, also of one that is refused for what it is. */
  key?: string;
  /** What else may be asked for; absent: that was not looked up. */
  scopes?: readonly Scope[];
  headers: Record<string, string>;
}

/** Resolves where the request may be answered, with the limits of its key, if it has one. Throws what is answered instead. */
export type Access = (
  request: Request,
  operation: Pick<Operation, 'scope' | 'orScope' | 'path'>,
  asker: Asker,
) => Promise<Grant | undefined>;

/** Answered also where access is not configured: the process is alive, and starting it again would not configure it. */
const ALWAYS = '/health/live';

export function createAccess({ policy, keys, limits, origins = [] }: AccessOptions): Access {
  return async function access(request, { scope, orScope, path }, asker) {
    if ('problem' in policy) {
      if (path === ALWAYS) return undefined;
      throw new CoreError('not_configured', policy.problem);
    }
    if (scope === null) return undefined;
    const credential = credentialOf(request);
    const open = isOpen(policy, scope);
    // Some clients insist on sending a key. Where no keys exist and none is needed, any key is ignored.
    if (credential !== undefined && keys && !(open && !(await keys.hasAny()))) {
      const key = await find(credential, keys);
      asker.key = key.prefix;
      check(key, scope, orScope);
      asker.scopes = key.scopes;
      return limits?.enter(key, { headers: asker.headers });
    }
    if (!open) throw missing(scope);
    if (policy.who === 'loopback') checkPlace(request, origins);
    asker.scopes = SCOPES.filter((each) => isOpen(policy, each));
    return undefined;
  };
}

async function find(credential: string, keys: KeyCache): Promise<ApiKey> {
  // Nothing else can be a key: no digest, no look-up.
  const key = API_KEY.test(credential) ? await keys.find(`sha256:${await sha256Hex(credential)}`) : undefined;
  if (key) return key;
  throw new CoreError('unauthorized', 'The API key that was sent is not known here. Keys begin with ec_.');
}

function check({ prefix, scopes, revoked_at, expires_at }: ApiKey, scope: Scope, orScope = scope): void {
  if (revoked_at !== null) {
    throw new CoreError('unauthorized', `The API key ${prefix}… was revoked at ${revoked_at}: ask for another one.`);
  }
  if (expires_at !== null && Date.parse(expires_at) <= Date.now()) {
    throw new CoreError('unauthorized', `The API key ${prefix}… expired at ${expires_at}: ask for another one.`);
  }
  if (scopes.includes(scope) || scopes.includes(orScope)) return;
  const message = `The API key ${prefix}… is good for ${scopes.join(' and ')}; this needs ${scope}.`;
  throw new CoreError('forbidden', message);
}

function missing(scope: Scope): CoreError {
  const how = 'send it as Authorization: Bearer ec_… (x-api-key and api-key are taken, too)';
  return new CoreError('unauthorized', `An API key that is good for ${scope} is needed: ${how}.`);
}

/**
 * Without a key only this machine is answered. Which address a request came to is not known here, but which name it
 * asked for is: a page elsewhere whose name resolves to this machine sends its own. `Origin` says which page asks.
 */
function checkPlace(request: Request, origins: readonly string[]): void {
  const { hostname } = new URL(request.url);
  if (!isLoopback(hostname)) {
    const message = `Without an API key only this machine is answered, by the name 127.0.0.1 or localhost, not ${shortened(hostname, ADDRESS)}.`;
    throw new CoreError('unauthorized', message);
  }
  const origin = request.headers.get('origin');
  if (origin === null || origins.includes(origin) || origins.includes('*') || isLoopbackOrigin(origin)) return;
  const message =
    origin === 'null'
      ? 'A page that was opened as a file, or in a sandbox, has no origin, and is not answered without an API key: serve it by HTTP on this machine.'
      : `Without an API key pages of other origins are not answered: add ${shortened(origin, ADDRESS)} to CORS_ORIGINS, or send a key.`;
  throw new CoreError('unauthorized', message);
}
