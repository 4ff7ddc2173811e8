// Credentials of a role for an hour, in exchange for a token of the Worker's own: no key of AWS is kept anywhere.
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { createLock, withLease } from '../isolate/lease.ts';
import type { AwsKeys } from './signed-fetch.ts';
import { textIn } from './xml.ts';

const SECONDS = 3600;
/** Credentials are replaced when this much of their life is over, while the old ones are still good. */
const USED = 0.8;
/** Between two tries to replace credentials that still hold. */
const RENEWAL_PAUSE_MS = 60_000;
/** A call that is signed now still has to arrive. */
const MARGIN_MS = 60_000;
/** Longer than the exchange takes. */
const EXCHANGE_MS = 10_000;

export interface RoleOptions {
  /** ARN of the role. */
  role: string;
  region: string;
  /** Where STS is not AWS's own. */
  endpoint?: string | undefined;
  token(): Promise<string>;
  /** @default - the runtime's own */
  send?: typeof fetch;
}

interface Held {
  keys: AwsKeys;
  /** When others are asked for. */
  renew: number;
  /** Until then AWS takes them. */
  expires: number;
}

/** Keys of the role, the same ones for most of an hour, and all of it where AWS gives no others. Throws `encoder_unavailable` where AWS does not give any, with its reason. */
export function assumeRole(options: RoleOptions): () => Promise<AwsKeys> {
  const lock = createLock(EXCHANGE_MS);
  let held: Held | undefined;
  return async function keys() {
    if (held && Date.now() < held.renew) return held.keys;
    if (held && Date.now() < held.expires - MARGIN_MS) return renewed(held);
    return withLease(lock, async () => {
      // Another request may have exchanged them meanwhile.
      if (held && Date.now() < held.renew) return held.keys;
      held = await exchange(options);
      return held.keys;
    });
  };

  /** Others, by one request at a time; the old ones where that fails. */
  async function renewed(old: Held): Promise<AwsKeys> {
    const lease = lock.take();
    if (lease === undefined) return old.keys;
    try {
      held = await exchange(options);
      return held.keys;
    } catch (error) {
      old.renew = Date.now() + RENEWAL_PAUSE_MS;
      const expires_at = new Date(old.expires).toISOString();
      console.error(JSON.stringify({ event: 'credentials_not_renewed', reason: reasonOf(error), expires_at }));
      return old.keys;
    } finally {
      lease.end();
    }
  }
}

async function exchange({ role, region, endpoint, token, send = fetch }: RoleOptions): Promise<Held> {
  const asked = Date.now();
  const body = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: role,
    RoleSessionName: 'edge-clip-worker',
    DurationSeconds: String(SECONDS),
    WebIdentityToken: await token(),
  });
  const url = endpoint ?? `https://sts.${region}.amazonaws.com/`;
  const response = await send(url, { method: 'POST', body, signal: AbortSignal.timeout(EXCHANGE_MS) }).catch(
    () => undefined,
  );
  if (response === undefined) throw refused('it cannot be reached');
  const xml = await response.text().catch(() => undefined);
  if (xml === undefined) throw refused('its answer broke off');
  const accessKeyId = textIn(xml, 'AccessKeyId');
  const secretAccessKey = textIn(xml, 'SecretAccessKey');
  const sessionToken = textIn(xml, 'SessionToken');
  if (!response.ok || !accessKeyId || !secretAccessKey || !sessionToken)
    throw refused(`it answered ${response.status} ${textIn(xml, 'Code') ?? ''}`.trimEnd());
  const life = SECONDS * 1000;
  return { keys: { accessKeyId, secretAccessKey, sessionToken }, renew: asked + USED * life, expires: asked + life };
}

function refused(reason: string): CoreError {
  const message = `AWS gave this Worker no credentials (STS: ${reason}). Texts still work.`;
  return new CoreError('encoder_unavailable', message, { retryAfterSeconds: 5 });
}
