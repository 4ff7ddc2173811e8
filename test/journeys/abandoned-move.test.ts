// A client that goes away in the middle of a publication: the model that it was using holds up no further move.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { rollback } from '../../api/registry/publish.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { changed, digestOf, publish, readModel, type TestModel } from '../support/registry.ts';

const folder = mkdtempSync(join(tmpdir(), 'registry-'));
const registry = openStore(`file://${folder}`);
let server: LocalServer;
let models: TestModel[];
beforeAll(async () => {
  const first = await readModel(EMBEDDED_MODEL);
  models = [first, changed(first, { version: '9.0.0' }), changed(first, { version: '9.1.0' })];
  await publish(registry, first);
  server = await startLocalServer({ registry: folder, pollMs: 250, onEvent: () => {} });
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const version = async () => {
  const response = await fetch(`${server.url}/v1/models`);
  const { data } = (await response.json()) as { data: { version: string }[] };
  return data[0]?.version;
};
const served = (expected = '') => expect.poll(version, { timeout: 30_000, interval: 100 }).toBe(expected);

/** Sends texts that take seconds, and resets the connection when told to. */
async function client() {
  const words = 'a brown dog runs through deep snow in the morning light near the old house '.repeat(4);
  const body = JSON.stringify({ input: Array.from({ length: 200 }, (_, i) => `${i} ${words}`) });
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  const lines = ['POST /embed HTTP/1.1', `Host: ${hostname}`, 'Content-Type: application/json'];
  socket.write(`${lines.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  let isAnswered = false;
  socket.once('data', () => {
    isAnswered = true;
  });
  return { isAnswered: () => isAnswered, reset: () => void socket.resetAndDestroy() };
}

test('after a client was reset the registry moves on to a third model, and back to the first', async () => {
  const [first, second, third] = models;
  if (!first || !second || !third) throw new Error('three models are needed');
  await served(first.manifest.version);
  const gone = await client();
  await sleep(300);
  await publish(registry, second);
  await served('9.0.0');
  expect(gone.isAnswered()).toBe(false);
  gone.reset();
  await publish(registry, third);
  await served('9.1.0');
  await rollback(registry, first.manifest.name, { to: digestOf(first.bytes), reason: 'a test' });
  await served(first.manifest.version);
}, 120_000);
