// Tells the address that a job names of its end, of no private network, signed as Standard Webhooks have it (standard-webhooks/standard-webhooks, spec).

import { type BulkJob, BulkTold, BulkWebhook } from '../../../contracts/src/bulk/job.ts';
import { bulkWebhookFile, FILES, toTellPrefix } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { encodeDocument, type ObjectStore } from '../../registry/store.ts';
import { serialOf } from './ask.ts';
import type { JobFolder } from './folder.ts';
import { readState, type States } from './states.ts';
import { isFinal, type JobState, reportOf, statusOf } from './status.ts';

/** The platform's `fetch`. */
export type Send = (url: string, init: RequestInit) => Promise<Response>;

export interface TellOptions {
  send: Send;
  /** Those in private networks that may be told all the same (default none). */
  hosts?: readonly string[];
  /** Between two attempts at first (default 2 s, 10 s, 60 s): one more attempt than there are pauses. */
  pausesMs?: readonly number[];
  /** Leaves alone jobs that ended within this time: the process that ended them may be telling (default 0; three minutes for `tellOverdue`). */
  quietMs?: number;
  /** The clock, in milliseconds (default the machine's). */
  now?: () => number;
  /** The job as it was read just now (default: it is read). */
  state?: JobState;
}

export type OverdueOptions = Pick<TellOptions, 'send' | 'hosts' | 'quietMs' | 'now'>;

const PAUSES_MS = [2_000, 10_000, 60_000] as const;
const ATTEMPT_MS = 15_000;
/** A later attempt waits as long again as it is since the end, and at least this; after a day there is none. */
const LATER_MS = 5 * 60_000;
/** Longer than the first attempts take, with their pauses. */
const QUIET_MS = 3 * 60_000;
const DAY_MS = 24 * 3_600_000;

/**
 * Does nothing where a job has not ended, or the next attempt is not due. A process that is stopped while it tells leaves no mark, so that
 * the next one tells again: `webhook-id` is then the same, by which a receiver knows it. Answers whether telling is over.
 */
export async function tellOfEnd(
  folder: JobFolder,
  { send, hosts = [], pausesMs = PAUSES_MS, quietMs = 0, now = Date.now, state: known }: TellOptions,
): Promise<boolean> {
  const webhook = await webhookOf(folder, known?.job ?? (await folder.job()));
  const before = await folder.read(FILES.webhookSent, BulkTold);
  if (!webhook || before?.told) return true;
  const state = known ?? (await readState(folder));
  const status = state && statusOf(state, now());
  if (!state || !status || !isFinal(status)) return false;
  // Which files there are, GET /v1/jobs/{id} says: they may be tens of thousands.
  const { files: _, ...data } = reportOf(state, now());
  const end = (data.ended_at ?? 0) * 1000;
  const waited = before === undefined ? 0 : Date.parse(before.at) - end;
  const due = before === undefined ? quietMs : waited + Math.max(waited, LATER_MS);
  if (due > DAY_MS) return true;
  if (now() < end + due) return false;
  const body = JSON.stringify({ type: `job.${status}`, timestamp: new Date(now()).toISOString(), data });
  let reason: string | null = null;
  let attempts = before?.attempts ?? 0;
  for (const pause of before === undefined ? [0, ...pausesMs] : [0]) {
    if (pause > 0) await new Promise<void>((wake) => setTimeout(wake, pause));
    attempts += 1;
    reason = isPrivateUrl(webhook.url, hosts) ? PRIVATE : await attempt(webhook, body, send);
    if (reason === null) break;
  }
  const at = new Date(now()).toISOString();
  const told: BulkTold = {
    schema_version: SCHEMA_VERSION,
    job: webhook.job,
    at,
    told: reason === null,
    attempts,
    reason,
  };
  await folder.put(FILES.webhookSent, encodeDocument(told));
  return told.told;
}

async function webhookOf(folder: JobFolder, job: BulkJob | undefined): Promise<BulkWebhook | undefined> {
  const asked = job?.asked ?? null;
  const named = asked === null ? undefined : await folder.read(bulkWebhookFile(asked), BulkWebhook);
  return named ?? folder.read(FILES.webhook, BulkWebhook);
}

/** The most jobs of one call of `tellOverdue`: a Worker may make 1,000 calls in it. */
const AT_ONCE = 100;
/** A job ends within a day, and is told for one more after that. */
const DAYS = 4;

/** Tries once to tell of each job of the last days that is still to be told of; where there are many, some at each call. */
export async function tellOverdue(
  { store, states }: { store: ObjectStore; states: Pick<States, 'open' | 'notice'> },
  { send, hosts = [], quietMs = QUIET_MS, now = Date.now }: OverdueOptions,
): Promise<void> {
  const waiting: string[] = [];
  for (let days = 0; days < DAYS; days++) {
    const day = new Date(now() - days * DAY_MS).toISOString().slice(0, 10);
    for (const { key, size } of await store.list(toTellPrefix(day))) if (size > 0) waiting.push(key);
  }
  const rounds = Math.ceil(waiting.length / AT_ONCE);
  const first = AT_ONCE * (Math.floor(now() / LATER_MS) % Math.max(1, rounds));
  const problems: string[] = [];
  for (const key of waiting.slice(first, first + AT_ONCE)) {
    const id = key.slice(key.lastIndexOf('/') + 1);
    try {
      const state = await states.notice(id);
      const options = { send, hosts, pausesMs: [], quietMs, now, ...(state ? { state } : {}) };
      if (await tellOfEnd(states.open(id), options)) await store.put(key, new Uint8Array());
    } catch (error) {
      problems.push(`${id}: ${reasonOf(error)}`);
    }
  }
  if (problems.length > 0) throw new Error(`ends of jobs could not be told: ${problems.join('; ')}`);
}

/** Null where it was taken; else what came back. */
async function attempt({ job, url, secret }: BulkWebhook, body: string, send: Send): Promise<string | null> {
  const headers = await signatureOf({ id: `msg_${serialOf(job)}`, secret, body });
  try {
    // The blob says its type. A redirection is not followed: the signature is for this address.
    const content = new Blob([body], { type: 'application/json' });
    const signal = AbortSignal.timeout(ATTEMPT_MS);
    const response = await send(url, { method: 'POST', headers, body: content, redirect: 'manual', signal });
    await response.body?.cancel();
    return response.ok ? null : `it answered ${response.status}`;
  } catch (error) {
    return reasonOf(error);
  }
}

interface Message {
  id: string;
  /** `whsec_` and base64. */
  secret: string;
  body: string;
}

/** The three headers of a message that is sent at this moment. */
async function signatureOf({ id, secret, body }: Message): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const bytes = Uint8Array.from(atob(secret.replace(/^whsec_/, '')), (letter) => letter.charCodeAt(0));
  const key = await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, signed));
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${btoa(String.fromCharCode(...mac))}`,
  };
}

/** What IANA gives no meaning outside of a network (RFC 6890, 6598, 5771). */
const PRIVATE_V4 =
  /^(0|10|127|22[4-9]|2[3-5]\d)\.|^169\.254\.|^172\.(1[6-9]|2\d|3[01])\.|^192\.168\.|^192\.0\.0\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|^198\.1[89]\./;
const PRIVATE_V6 = /^(::|64:ff9b:|f[cd][0-9a-f]{2}:|fe[89a-f][0-9a-f]:|ff[0-9a-f]{2}:)/;
const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** Of an address in numbers, IPv6 with or without brackets; false for a name. */
export function isPrivateAddress(address: string): boolean {
  const [bare = ''] = address.replace(/[[\]]/g, '').split('%');
  if (!bare.includes(':')) return PRIVATE_V4.test(bare) && /^[\d.]+$/.test(bare);
  const written = URL.parse(`https://[${bare}]`)?.hostname.replace(/[[\]]/g, '') ?? bare;
  const [, high, low] = MAPPED.exec(written) ?? [];
  if (high === undefined || low === undefined) return PRIVATE_V6.test(written);
  const numbers = [high, low].map((part) => Number.parseInt(part, 16)).flatMap((part) => [part >> 8, part & 255]);
  return PRIVATE_V4.test(numbers.join('.'));
}

const OF_THIS_MACHINE: readonly string[] = ['localhost', '127.0.0.1'];

/** Whether a URL says that it is of this machine, to which one may tell. */
export const isOfThisMachine = (url: string): boolean => OF_THIS_MACHINE.includes(URL.parse(url)?.hostname ?? '');

/**
 * Whether a URL has the numbers of a private address that is not plainly this machine's nor among `hosts`; what a name stands for is
 * seen when it is sent to.
 */
function isPrivateUrl(url: string, hosts: readonly string[]): boolean {
  const host = URL.parse(url)?.hostname ?? '';
  return !isOfThisMachine(url) && !hosts.includes(host) && isPrivateAddress(host);
}

export const PRIVATE =
  'an address of a private network, which is not told of jobs: name one of the internet, or localhost for this machine; a server of your own tells the hosts that its variable WEBHOOK_HOSTS lists';

/** Plain http is of this machine alone, and https into no other machine of a private network either. */
export function checkWebhook(webhook: { url: string } | null | undefined, hosts: readonly string[] = []): void {
  if (!webhook || !isPrivateUrl(webhook.url, hosts)) return;
  throw new CoreError('invalid_request', `webhook.url is ${PRIVATE}.`, { param: 'webhook.url' });
}
