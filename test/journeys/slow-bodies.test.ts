// Bodies that do not come: over sockets, because workerd's own streams behave as no simulated one does.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

let local: LocalServer;
beforeAll(async () => {
  local = await startLocalServer();
});
afterAll(() => local.stop());

/** Announces a body, sends its beginning and nothing more. */
async function begin(path: string) {
  const { host, hostname, port } = new URL(local.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  const head = [`POST ${path} HTTP/1.1`, `Host: ${host}`, 'Content-Type: application/json', 'Content-Length: 100000'];
  socket.write(`${head.join('\r\n')}\r\n\r\n{"input": "`);
  return socket;
}

test('are answered when their time is over, whether they were wanted or not', async () => {
  const firstOf = async (path: string) => {
    const socket = await begin(path);
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return bytes.toString().split('\r\n', 1)[0];
  };
  const lines = await Promise.all([firstOf('/embed'), firstOf('/embed'), firstOf('/nowhere')]);
  expect(lines).toEqual([
    expect.stringContaining(' 408 '),
    expect.stringContaining(' 408 '),
    expect.stringContaining(' 404 '),
  ]);
}, 60_000);

test('that break off are not logged as a fault of ours', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
  for (const path of ['/embed', '/similarity', '/nowhere']) {
    const [closed, reset] = [await begin(path), await begin(path)];
    await sleep(200);
    closed.destroy();
    reset.resetAndDestroy();
  }
  const response = await fetch(`${local.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"input": "a dog"}',
  });
  expect(response.status).toBe(200);
  expect(logged.mock.calls).toEqual([]);
  logged.mockRestore();
});
