// Whoever asked for it is told of the end of a job, signed as Standard Webhooks have it (standard-webhooks/standard-webhooks, spec).

import { BulkTold, BulkWebhook } from '../../../contracts/src/bulk/job.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { encodeDocument } from '../../registry/store.ts';
import { serialOf } from './ask.ts';
import type { JobFolder } from './folder.ts';
import { readState } from './states.ts';
import { isFinal, reportOf, statusOf } from './status.ts';

/** The platform's `fetch`. */
export type Send = (url: string, init: RequestInit) => Promise<Response>;

export interface TellOptions {
  send: Send;
  /** Between two attempts (default 2 s, 10 s, 60 s): one more attempt than there are pauses. */
  pausesMs?: readonly number[];
}

const PAUSES_MS = [2_000, 10_000, 60_000] as const;
const ATTEMPT_MS = 15_000;

/**
 * Does nothing where a job has not ended, nobody is to be told, or it was told. A process that is stopped while it tells leaves no mark, so that
 * the next one tells again: `webhook-id` is then the same, by which a receiver knows it.
 */
export async function tellOfEnd(folder: JobFolder, { send, pausesMs = PAUSES_MS }: TellOptions): Promise<void> {
  const webhook = await folder.read(FILES.webhook, BulkWebhook);
  if (!webhook || (await folder.read(FILES.webhookSent, BulkTold))) return;
  const state = await readState(folder);
  if (!state) return;
  const status = statusOf(state, Date.now());
  if (!isFinal(status)) return;
  // Which files there are, GET /v1/jobs/{id} says: they may be tens of thousands.
  const { files: _, ...data } = reportOf(state, Date.now());
  const body = JSON.stringify({ type: `job.${status}`, timestamp: new Date().toISOString(), data });
  let reason: string | null = null;
  let attempts = 0;
  for (const pause of [0, ...pausesMs]) {
    if (pause > 0) await new Promise<void>((wake) => setTimeout(wake, pause));
    attempts += 1;
    reason = await attempt(webhook, body, send);
    if (reason === null) break;
  }
  const at = new Date().toISOString();
  const told: BulkTold = {
    schema_version: SCHEMA_VERSION,
    job: webhook.job,
    at,
    told: reason === null,
    attempts,
    reason,
  };
  await folder.put(FILES.webhookSent, encodeDocument(told));
}

/** Null where it was taken; else what came back. */
async function attempt({ job, url, secret }: BulkWebhook, body: string, send: Send): Promise<string | null> {
  const headers = await signatureOf({ id: `msg_${serialOf(job)}`, secret, body });
  try {
    // The blob's type is said with it. Nobody is led elsewhere by an answer.
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
