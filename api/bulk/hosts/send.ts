// Tells of the end of a job over https, and into no private network: the address that a name stands for is seen before it is called.
import { type LookupAddress, lookup } from 'node:dns';
import { request } from 'node:https';
import type { LookupFunction } from 'node:net';
import { isOfThisMachine, isPrivateAddress, PRIVATE, type Send } from '../service/webhook.ts';
import { webhookHosts } from './open.ts';

/** The connection is made to the addresses that were looked at, so that a name cannot stand for others by then. */
const lookupOutside: LookupFunction = (hostname, options, done) => {
  lookup(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
    if (error) return done(error, '', 0);
    const own = found.find(({ address }) => isPrivateAddress(address));
    if (own !== undefined) return done(new Error(`${hostname} is ${own.address}, ${PRIVATE}`), '', 0);
    const [first] = found;
    return options.all ? done(null, found) : done(null, first?.address ?? '', first?.family);
  });
};

/** As `fetch`, of which it answers the status alone. A redirection is not followed. */
export const sendOutside: Send = async (url, init) => {
  // Plain http is of this machine alone.
  if (isOfThisMachine(url) || webhookHosts().includes(new URL(url).hostname)) return fetch(url, init);
  const bytes = new Uint8Array(await new Response(init.body ?? null).arrayBuffer());
  const headers = { ...Object.fromEntries(new Headers(init.headers)), 'content-type': 'application/json' };
  const { method = 'GET', signal } = init;
  return new Promise((resolve, reject) => {
    const options = { method, headers, lookup: lookupOutside, ...(signal ? { signal } : {}) };
    const sent = request(url, options, (response) => {
      response.destroy();
      const { statusCode = 0 } = response;
      // A Response knows no others.
      if (statusCode < 200 || statusCode > 599) reject(new Error(`it answered ${statusCode}`));
      else resolve(new Response(null, { status: statusCode }));
    });
    sent.on('error', reject).end(bytes);
  });
};
