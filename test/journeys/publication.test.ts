// A publication and a rollback while requests come in: none fails, none sees two models, nothing is started again.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { rollback } from '../../api/registry/publish.ts';
import type { ObjectStore } from '../../api/registry/store.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { SimilarityResponse } from '../../contracts/src/api/similarity.ts';
import { childrenNamed } from '../bench/process.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { publish, readModel, type TestModel } from '../support/registry.ts';
import { secondModel, twinImages, VERSION, WORDS } from '../support/second-model.ts';
import { ask, furthest } from '../support/steady-load.ts';

let server: LocalServer;
let first: TestModel;
let images: { dark: string; bright: string };
let registry: ObjectStore;
const folder = mkdtempSync(join(tmpdir(), 'registry-'));

beforeAll(async () => {
  first = await readModel(EMBEDDED_MODEL);
  images = await twinImages(first.manifest.image.preprocess.size);
  // The folder itself appears later, as `registry` of a fresh repository does.
  const later = join(folder, 'registry');
  registry = openStore(`file://${later}`);
  server = await startLocalServer({ registry: later, pollMs: 250, onEvent: () => {} });
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function post(path: string, body: object): Promise<unknown> {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
}
const texts = WORDS.map((word) => `a ${word}`);
const embed = async (input: unknown[]) => {
  const { space_id, data } = EmbedResponse.parse(await post('/embed', { input }));
  return { space_id, vectors: data.map(({ embedding }) => embedding as number[]) };
};
const compare = async () => {
  const { space_id, ...answer } = SimilarityResponse.parse(
    await post('/similarity', { a: texts[0], b: [texts[1], { image: images.dark }] }),
  );
  return { space_id, vectors: [answer.mode === 'matrix' ? (answer.scores[0] ?? []) : []] };
};
const current = async () => {
  const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { version: string }[] };
  return data[0]?.version;
};
const dot = (a: number[] = [], b: number[] = []) => a.reduce((sum, x, i) => sum + x * (b[i] ?? Number.NaN), 0);

test('a publication and a rollback under load fail no request and mix no models', async () => {
  const second = secondModel(first);
  await publish(registry, first);
  const { vectors } = await embed([...texts, { image: images.dark }, { image: images.bright }]);
  const [cat = [], car = [], dark = [], bright = []] = vectors;
  // What each model answers: the second reads either word, and the dark image, as the first reads the other.
  const expected = new Map([
    [first.manifest.space_id, { texts: [cat, car], dark: [dark], scores: [[dot(cat, car), dot(cat, dark)]] }],
    [second.manifest.space_id, { texts: [car, cat], dark: [bright], scores: [[dot(car, cat), dot(car, bright)]] }],
  ]);
  const [old, next] = [...expected.values()];
  expect(Math.abs((old?.scores[0]?.[1] ?? 0) - (next?.scores[0]?.[1] ?? 0))).toBeGreaterThan(0.01);
  expect(dot(cat, car)).toBeLessThan(0.9);
  expect(dot(dark, bright)).toBeLessThan(0.99);

  const processes = childrenNamed('workerd');
  expect(await current()).toBe(first.manifest.version);
  const versions = ask(current, 20);
  const loads = [
    { what: 'texts' as const, load: ask(() => embed(texts)) },
    { what: 'dark' as const, load: ask(() => embed([{ image: images.dark }])) },
    { what: 'scores' as const, load: ask(compare) },
  ];
  const served = (version: string) => expect.poll(() => versions.answers.at(-1), { timeout: 30_000 }).toBe(version);
  const goOn = () => new Promise((wait) => setTimeout(wait, 700));
  await goOn();
  await publish(registry, second);
  await served(VERSION);
  await goOn();
  await rollback(registry, first.manifest.name, { reason: 'a test' });
  await served(first.manifest.version);
  await goOn();
  await Promise.all([versions.stop(), ...loads.map(({ load }) => load.stop())]);

  for (const { what, load } of loads) {
    expect(load.failures).toEqual([]);
    const seen = new Set<string>();
    for (const { space_id, vectors } of load.answers) {
      seen.add(space_id);
      expect(furthest(vectors, expected.get(space_id)?.[what] ?? [])).toBeLessThan(1e-4);
    }
    expect([...seen]).toEqual([...expected.keys()]);
  }
  expect(versions.failures).toEqual([]);
  const changes = versions.answers.filter((version, i, all) => version !== all[i - 1]);
  expect(changes).toEqual([first.manifest.version, VERSION, first.manifest.version]);
  expect(childrenNamed('workerd')).toEqual(processes);
}, 120_000);
