// Who is told of the end of a job: nobody in a private network, whether its numbers are named or a name stands for them.

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { webhookHosts } from '../../../../api/bulk/hosts/open.ts';
import { sendOutside } from '../../../../api/bulk/hosts/send.ts';
import { createBulkService } from '../../../../api/bulk/service/routes.ts';
import { checkWebhook, type Send, tellOfEnd } from '../../../../api/bulk/service/webhook.ts';
import { encodeDocument } from '../../../../api/registry/store.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { ownMachine } from '../../../../contracts/src/cloud/bulk-estimate.ts';
import { newFolder, runJob, writeLines } from '../jobs.ts';

const names = vi.hoisted(() => new Map<string, string[]>());
vi.mock(import('node:dns'), async (original) => {
  const real = await original();
  const lookup = (name: string, _: object, done: (error: null, found: object[]) => void) =>
    done(
      null,
      (names.get(name) ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  return { ...real, lookup: lookup as unknown as typeof real.lookup };
});

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
let reached = 0;
let port = 0;
const server = createServer((socket) => {
  reached += 1;
  socket.destroy();
});
beforeEach(async () => {
  reached = 0;
  await new Promise<void>((done) => server.listen(0, '0.0.0.0', done));
  port = (server.address() as AddressInfo).port;
});
afterEach(() => {
  vi.unstubAllEnvs();
  server.close();
});

/** Tells of a job that has ended, once: what came of it, and how often something was reached. */
async function tell(url: string, send: Send, hosts: readonly string[] = []) {
  const { folder, job } = await runJob({
    input: { jsonl: writeLines(newFolder('in'), [{ custom_id: '1', text: ' ' }]) },
  });
  await folder.put('webhook.json', encodeDocument({ schema_version: 1, job: job.id, url, secret: SECRET }));
  await tellOfEnd(folder, { send, hosts, pausesMs: [] });
  const { told, reason } = JSON.parse((await (await folder.get('webhook-sent.json'))?.text()) ?? '{}');
  return { told, reason, reached };
}

const PRIVATE = [
  '127.0.0.2', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.0.1', '169.254.169.254', '100.64.0.1', '0.0.0.0',
  '224.0.0.1', '255.255.255.255', '[::1]', '[::]', '[fc00::1]', '[fdff::1]', '[fe80::1]', '[ff02::1]', '[::ffff:10.0.0.1]',
  '[64:ff9b::a00:1]', '2130706434', '0x7f.2', '127.1.1',
]; // biome-ignore format: one line for each would be long
const OUTSIDE = [
  'example.com', '8.8.8.8', '172.15.0.1', '172.32.0.1', '192.169.0.1', '100.128.0.1', '11.0.0.1', '[2606:4700::1111]',
  '[::ffff:8.8.8.8]', '10.example.com', 'fd00.example.com', 'localhost', '127.0.0.1',
]; // biome-ignore format: the same

test('a job may name https of the internet or of this machine, and none of a private network', async () => {
  const store = openStore(`file://${newFolder('jobs')}`);
  const { jobs } = createBulkService({
    store,
    runner: { planning: { open: () => store, machines: { cpu: ownMachine(1) } }, submit() {}, cancel() {} },
    places: () => [],
    sources: () => [],
    current: () => Promise.reject(new Error('it was not refused')),
    onProblem: () => {},
  });
  const create = (host: string) => {
    const webhook = { url: `https://${host}/jobs`, secret: SECRET };
    const body = { input: { items: [{ custom_id: 'one', image: 'AAAA' }] }, webhook };
    return jobs.create(body, { owner: null, idempotencyKey: null });
  };
  for (const host of PRIVATE)
    await expect(create(host), host).rejects.toMatchObject({
      code: 'invalid_request',
      details: { param: 'webhook.url' },
      message: expect.stringContaining('localhost for this machine'),
    });
  for (const host of OUTSIDE) await expect(create(host), host).rejects.toThrow('it was not refused');
});

test('one that an earlier version took is not called', async () => {
  expect(await tell(`https://127.0.0.2:${port}/jobs`, fetch)).toEqual({
    told: false,
    reason: expect.stringContaining('an address of a private network'),
    reached: 0,
  });
});

test.each([['127.0.0.1'], ['::1'], ['8.8.8.8', '10.0.0.1'], ['::ffff:127.0.0.1']])(
  'a name that stands for %s is not called',
  async (...addresses) => {
    names.set('inside.example', addresses);
    expect(await tell(`https://inside.example:${port}/jobs`, sendOutside)).toEqual({
      told: false,
      reason: expect.stringMatching(/^inside\.example is \S+, an address of a private network/),
      reached: 0,
    });
  },
);

test('this machine is called by its own names', async () => {
  expect(await tell(`http://127.0.0.1:${port}/jobs`, sendOutside)).toMatchObject({ told: false, reached: 1 });
});

test('a host of a private network that whoever runs the server lists is told of jobs', async () => {
  vi.stubEnv('WEBHOOK_HOSTS', 'hooks.corp.example, 127.0.0.2');
  const url = `https://127.0.0.2:${port}/jobs`;
  expect(await tell(url, sendOutside, webhookHosts())).toMatchObject({ told: false, reached: 1 });
  expect(() => checkWebhook({ url }, webhookHosts())).not.toThrow();
  expect(() => checkWebhook({ url: 'https://127.0.0.3/jobs' }, webhookHosts())).toThrow('WEBHOOK_HOSTS');
});
