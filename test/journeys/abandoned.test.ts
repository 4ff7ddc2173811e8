// Clients that go away while their texts are being computed: the next request is answered, however they went.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

let local: LocalServer;
beforeAll(async () => {
  local = await startLocalServer();
  expect((await fetch(`${local.url}/health/ready`)).status).toBe(200);
});
afterAll(() => local.stop());

/** Some seconds of work: 20 texts of 70 tokens, more than four requests may compute at a time. */
const WORDS = 'a brown dog runs through deep snow in the morning light near the old house ';
const BODY = JSON.stringify({ input: Array.from({ length: 20 }, (_, i) => `${i} ${WORDS.repeat(4)}`) });
const headers = { 'content-type': 'application/json' };

/** Each sends the batch and goes away after `ms`. */
const goings: Record<string, (ms: number) => Promise<void>> = {
  async 'reset by TCP'(ms) {
    const { hostname, port } = new URL(local.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    await once(socket, 'connect');
    const lines = ['POST /embed HTTP/1.1', `Host: ${hostname}`, 'Content-Type: application/json'];
    socket.write(`${lines.join('\r\n')}\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
    await sleep(ms);
    socket.resetAndDestroy();
  },
  async 'closed in order'(ms) {
    const signal = AbortSignal.timeout(ms);
    await fetch(`${local.url}/embed`, { method: 'POST', headers, body: BODY, signal }).catch(() => {});
  },
  async 'killed by SIGKILL'(ms) {
    const init = JSON.stringify({ method: 'POST', headers, body: BODY });
    const script = `console.log('sent'); await fetch('${local.url}/embed', ${init});`;
    const client = spawn(process.execPath, ['--input-type=module', '-e', script]);
    // A client that is refused at once has ended before it is killed.
    const ended = once(client, 'exit');
    await once(client.stdout, 'data');
    await sleep(ms);
    client.kill('SIGKILL');
    await ended;
  },
};

/** Longer than a loaded machine takes, and far less than the minute for which such permits were once lost. */
const LIVELY_MS = 30_000;

describe.each(Object.keys(goings))('after four clients were %s', (going) => {
  beforeAll(async () => {
    await Promise.all([100, 250, 400, 400].map((ms) => goings[going]?.(ms)));
  });

  test.each([
    ['/embed', { input: 'a dog' }],
    ['/similarity', { a: 'a dog', b: ['a cat', 'a boat'] }],
    ['/health/ready', undefined],
  ])('%s answers', async (path, body) => {
    const start = performance.now();
    const init = body ? { method: 'POST', headers, body: JSON.stringify(body) } : {};
    const response = await fetch(`${local.url}${path}`, init);
    await response.text();
    expect(response.status).toBe(200);
    expect(performance.now() - start).toBeLessThan(LIVELY_MS);
  });
});

test('after four clients were reset, another long request gets a permit', async () => {
  await Promise.all([100, 250, 400, 400].map((ms) => goings['reset by TCP']?.(ms)));
  const ask = () => fetch(`${local.url}/embed`, { method: 'POST', headers, body: BODY });
  await expect.poll(async () => (await ask()).status, { timeout: LIVELY_MS, interval: 500 }).toBe(200);
});
