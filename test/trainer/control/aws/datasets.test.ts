// Pushing data: what is sent, when the pointer moves, and which data the next plan trains on.
import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { byStage } from '../../../../contracts/src/stages.ts';
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import { listDatasets, type Pushed, pushDataset, showDataset } from '../../../../trainer/control/aws/datasets.ts';
import { submitRecipe } from '../../../../trainer/control/aws/submit.ts';
import { indexData } from '../../../../trainer/control/recipe/data-index.ts';
import { findRequest, readRequest } from '../../../../trainer/control/run/stored-plan.ts';
import { tinyRecipe } from '../../../support/tiny-recipe.ts';

const FILES = ['classes.json', 'dev.tar', 'plain.jsonl', 'train-0.tar'];
let folder = '';
let store: ObjectStore;
let recipe: Recipe;
/** Keys that were written, in order. */
let written: string[] = [];
let clock = 0;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'data '));
  for (const name of FILES) writeFileSync(join(folder, name), name);
  const bucket = openStore(`file://${mkdtempSync(join(tmpdir(), 'bucket '))}`);
  written = [];
  store = {
    ...bucket,
    async put(key, ...rest) {
      const done = await bucket.put(key, ...rest);
      if (done) written.push(key);
      return done;
    },
  };
  recipe = tinyRecipe();
  clock = Date.parse('2026-11-27T12:00:00Z');
});

// Sizes and times of the small files may be those of their former content: nothing is remembered.
const index = () => indexData(recipe, folder, { cache: join(mkdtempSync(join(tmpdir(), 'cache ')), 'digests.json') });

async function push(through = store): Promise<Pushed> {
  clock += 60_000;
  const now = () => new Date(clock);
  return pushDataset({ name: 'tiny', data: await index(), folder, store: through, onProgress: () => {}, now });
}

/** Nothing is queued: what counts is the request that a submission leaves. */
async function submit(): Promise<void> {
  const code = byStage(() => `sha256:${'c'.repeat(64)}`);
  const deployment = { trainingBucket: 'x', logGroup: 'x', queues: {}, jobDefinitions: {} };
  const batch = { find: async () => undefined, submit: async () => 'new', terminate: async () => {} };
  const data = await index();
  await submitRecipe({ recipe, code, data, folder, jobs: [] }, { deployment, store, batch, emit: () => {} });
}

it('sends every content once, then the index, and the pointer last', async () => {
  writeFileSync(join(folder, 'train-1.tar'), 'train-0.tar');
  const { sent, pointer, moved } = await push();
  expect(moved).toBe(true);
  expect(sent).toEqual({ files: 4, bytes: FILES.join('').length });
  expect(pointer).toMatchObject({ name: 'tiny', files: 5, previous: null, tars: { count: 3 } });
  const files = written.slice(0, 4);
  expect(files.every((key) => /^data\/files\/[0-9a-f]{64}$/.test(key))).toBe(true);
  expect(written.slice(4)).toEqual([
    `data/sha256/${pointer.digest.slice('sha256:'.length)}/index.json`,
    'datasets/tiny/current.json',
  ]);
});

it('of a changed file sends that file, and of unchanged data nothing, and moves nothing', async () => {
  const first = await push();
  const again = await push();
  expect(again).toMatchObject({ moved: false, sent: { files: 0, bytes: 0 }, pointer: first.pointer });
  writeFileSync(join(folder, 'dev.tar'), 'DEV');
  const second = await push();
  expect(second).toMatchObject({ moved: true, sent: { files: 1, bytes: 3 } });
  expect(second.pointer.previous).toBe(first.pointer.digest);
  // Back to what was there before: no byte is sent.
  writeFileSync(join(folder, 'dev.tar'), 'dev.tar');
  expect(await push()).toMatchObject({ moved: true, sent: { files: 0 }, pointer: { digest: first.pointer.digest } });
});

it('leaves the former data current where it is interrupted, and the next one sends the rest', async () => {
  const first = await push();
  for (const name of ['train-0.tar', 'dev.tar']) writeFileSync(join(folder, name), `new ${name}`);
  let puts = 0;
  const broken: ObjectStore = {
    ...store,
    async put(key, ...rest) {
      puts += 1;
      if (puts === 2) throw new Error('the network is gone');
      return store.put(key, ...rest);
    },
  };
  await expect(push(broken)).rejects.toThrow('the network is gone');
  expect((await showDataset('tiny', store)).pointer).toEqual(first.pointer);
  expect(await push()).toMatchObject({ moved: true, sent: { files: 1 } });
});

it.each([
  ['another content of the same size', () => writeFileSync(join(folder, 'dev.tar'), 'DEV.TAR')],
  ['more', () => appendFileSync(join(folder, 'dev.tar'), 'more')],
  ['less', () => truncateSync(join(folder, 'dev.tar'), 3)],
  ['nothing', () => rmSync(join(folder, 'dev.tar'))],
])('refuses a file that is edited after it was read, by its name, and writes nothing of it: %s', async (_, edit) => {
  const data = await index();
  edit();
  const pushed = pushDataset({ name: 'tiny', data, folder, store, onProgress: () => {} });
  await expect(pushed).rejects.toThrow('dev.tar was changed while it was uploaded: run the same command again');
  const keys = (await store.list('')).map(({ key }) => key);
  expect(keys.every((key) => key.startsWith('data/files/'))).toBe(true);
  for (const key of keys) {
    const content = (await (await store.get(key))?.bytes()) ?? new Uint8Array();
    expect(key).toBe(`data/files/${createHash('sha256').update(content).digest('hex')}`);
  }
  writeFileSync(join(folder, 'dev.tar'), 'edited');
  expect(await push()).toMatchObject({ moved: true });
});

it('of two at the same time moves the pointer once, and says so to the other', async () => {
  await push();
  writeFileSync(join(folder, 'dev.tar'), 'mine');
  const other: ObjectStore = {
    ...store,
    async put(key, body, condition) {
      // Theirs comes between the read of the pointer and its write.
      if (key.startsWith('datasets/')) await store.put(key, Buffer.from(`${await textOf(key)} `));
      return store.put(key, body, condition);
    },
  };
  await expect(push(other)).rejects.toThrow('another push moved the data of tiny meanwhile');
});

const textOf = async (key: string): Promise<string> => (await (await store.get(key))?.text()) ?? '';

it('counts where it comes after the submission, which otherwise has its own data', async () => {
  clock = Date.now() - 3_600_000;
  await push();
  expect(await findRequest('tiny', store)).toBeUndefined();
  expect((await showDataset('tiny', store)).state).toBe('not submitted');
  writeFileSync(join(folder, 'dev.tar'), 'as submitted');
  await submit();
  const submitted = await readRequest('tiny', store);
  expect(submitted.data.digest).toBe((await index()).digest);
  expect((await showDataset('tiny', store)).state).toBe('a later submission has its own data');
  clock = Date.now() + 3_600_000;
  writeFileSync(join(folder, 'train-1.tar'), 'more');
  const { pointer } = await push();
  const resolved = await readRequest('tiny', store);
  expect(resolved.data).toEqual({
    uri: `${store.uri}/data/sha256/${pointer.digest.slice('sha256:'.length)}`,
    digest: (await index()).digest,
    parts: (await index()).parts,
  });
  expect(resolved.recipe).toEqual(submitted.recipe);
  expect((await showDataset('tiny', store)).state).toBe('counts');
});

it('the same data after a submission of other data moves the pointer again', async () => {
  clock = Date.now() - 3_600_000;
  const first = await push();
  writeFileSync(join(folder, 'dev.tar'), 'other');
  await submit();
  writeFileSync(join(folder, 'dev.tar'), 'dev.tar');
  clock = Date.now() + 3_600_000;
  expect(await push()).toMatchObject({ moved: true, pointer: { digest: first.pointer.digest } });
  expect((await readRequest('tiny', store)).data.digest).toBe(first.pointer.digest);
});

it('a folder that was pushed before its recipe counts for no submission: nothing told its parts', async () => {
  clock = Date.now() + 3_600_000;
  const now = () => new Date(clock);
  const all = { ...(await index()), parts: null };
  const pushed = await pushDataset({ name: 'tiny', data: all, folder, store, onProgress: () => {}, now });
  expect(pushed).toMatchObject({ moved: true, submitted: false, pointer: { parts: null } });
  writeFileSync(join(folder, 'dev.tar'), 'as submitted');
  await submit();
  expect((await readRequest('tiny', store)).data.digest).toBe((await index()).digest);
  expect((await showDataset('tiny', store)).state).toBe('pushed before its recipe: push again');
});

it('is listed and shown with its files; a name that was never pushed is refused with those there are', async () => {
  expect(await listDatasets(store)).toEqual([]);
  await push();
  expect((await listDatasets(store)).map(({ name }) => name)).toEqual(['tiny']);
  expect((await showDataset('tiny', store)).files.map(({ path }) => path)).toEqual(FILES);
  await expect(showDataset('shop', store)).rejects.toThrow('no data was pushed as shop: there is tiny');
});
