// Models that the Worker does not serve, and what moving from model to model costs it: straight from the simulated bucket.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { BUCKET, type WorkerEvent } from '../../api/dev/local-worker.ts';
import { rollback } from '../../api/registry/publish.ts';
import type { ObjectStore } from '../../api/registry/store.ts';
import { artefactKey, manifestKey } from '../../contracts/src/keys.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { bucketStore, changed, damaging, digestOf, publish, readModel, type TestModel } from '../support/registry.ts';
import { secondModel, VERSION } from '../support/second-model.ts';

let server: LocalServer;
let registry: ObjectStore;
let first: TestModel;
let second: TestModel;
const events: WorkerEvent[] = [];

beforeAll(async () => {
  first = await readModel(EMBEDDED_MODEL);
  const { space_id } = first.manifest;
  // In the same space: no image encoder is asked.
  second = secondModel(first, { space_id });
  server = await startLocalServer({
    registry: join(mkdtempSync(join(tmpdir(), 'registry-')), 'absent'),
    pollMs: 100,
    entry: join(import.meta.dirname, '../bench/serving/worker.ts'),
    onEvent: (event) => events.push(event),
  });
  registry = bucketStore(await server.platform.getR2Bucket(BUCKET));
});
afterAll(() => server?.stop());

const get = async (path: string) => (await fetch(`${server.url}${path}`)).json() as Promise<Record<string, unknown>>;
const version = async () => (await get('/health/ready')).version;
const embed = () =>
  fetch(`${server.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'a dog running through snow' }),
  });
const said = (manifest: string) => events.filter((event) => 'manifest' in event && event.manifest === manifest);

test.each([
  [
    'a file that was damaged on its way',
    () => {
      // A vocabulary of its own: publishing the next model would else repair it.
      const more = (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('\n')]);
      const model = changed(second, { version: 'damaged' }, { 'vocabulary.txt': more });
      const { digest } = model.manifest.text.tokenizer.vocabulary;
      return { store: damaging(registry, artefactKey(digest)), model };
    },
    /vocabulary\.txt is not what its name says/,
  ],
  [
    'a manifest that is not what its digest says',
    () => {
      const model = changed(second, { version: 'forged' });
      return { store: damaging(registry, manifestKey(digestOf(model.bytes))), model };
    },
    /is not what its name says/,
  ],
  [
    'golden vectors that it does not reproduce',
    () => {
      const golden = first.manifest.golden.map((vector) => ({
        ...vector,
        embedding: vector.embedding.toReversed(),
      }));
      return { store: registry, model: changed(second, { version: 'wrong', golden }) };
    },
    /has cosine .* to the published one/,
  ],
  [
    'a space whose images cannot be encoded',
    () => ({ store: registry, model: changed(second, { version: 'elsewhere', space_id: `sha256:${'c'.repeat(64)}` }) }),
    /this encoder serves .*, the request is for sha256:ccc/,
  ],
])('%s: the model before it keeps answering and the log says why', async (_, make, reason) => {
  const { store, model } = make();
  const manifest = await publish(store, model);
  await expect.poll(async () => (await embed()).ok && said(manifest).length).toBe(1);
  expect(said(manifest)[0]).toMatchObject({ reason: expect.stringMatching(reason) });
  // Many polls later it was still said once only.
  for (let i = 0; i < 5; i++) {
    await new Promise((wait) => setTimeout(wait, 120));
    expect((await embed()).status).toBe(200);
  }
  expect(said(manifest)).toHaveLength(1);
  expect(await version()).toBe(first.manifest.version);
});

test('moving between two models again and again takes no more memory than moving once', async () => {
  const memory = async () => Number((await get('/bench/memory')).wasm_bytes) / 2 ** 20;
  for (const model of [second, first]) await publish(registry, model);
  await expect.poll(version, { interval: 50 }).toBe(first.manifest.version);
  await embed();
  const sizes = [await memory()];
  for (let move = 1; move <= 8; move++) {
    const model = move % 2 === 1 ? second : first;
    await rollback(registry, first.manifest.name, { to: digestOf(model.bytes), reason: 'a test' });
    await expect.poll(version, { interval: 50 }).toBe(model.manifest.version);
    expect((await embed()).status).toBe(200);
    sizes.push(await memory());
  }
  expect(events.filter((event) => event.event === 'model_current' && event.version === VERSION)).toHaveLength(4);
  expect(events.filter(({ event }) => event === 'model_not_closed')).toEqual([]);
  const [one = 0, ...after] = sizes;
  // While one model is being opened the one before it still answers: twice the memory, reused from then on.
  expect(Math.max(...after.slice(1))).toBeLessThanOrEqual((after[1] ?? 0) * 1.1);
  expect(after.at(-1)).toBeLessThan(one * 2.5);
}, 120_000);
