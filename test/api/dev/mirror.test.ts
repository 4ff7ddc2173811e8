// The folder's mirror in the local bucket: what it copies, in which order, and what it leaves alone.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createMirror, type Mirror } from '../../../api/dev/mirror.ts';
import { rollback } from '../../../api/registry/publish.ts';
import { bytesOf, type ObjectStore } from '../../../api/registry/store.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { artefactKey, currentKey, manifestKey } from '../../../contracts/src/keys.ts';
import { changed, damaging, publish, readModel, type TestModel } from '../../support/registry.ts';
import { writeTinyImageModel } from '../../support/tiny-image-model.ts';

const tiny = writeTinyImageModel();
const empty = { unused: () => Buffer.alloc(0) };
const first = changed(await readModel(tiny.folder), {}, empty);
/** Its text side is a file that only it has. */
const second = changed(first, { version: '2' }, { unused: () => Buffer.from('second') });
const vocabulary = ({ manifest }: TestModel) => artefactKey(manifest.text.tokenizer.vocabulary.digest);

let folder: string;
let registry: ObjectStore;
let bucket: Map<string, Buffer>;
let problems: string[];
let mirror: Mirror;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'registry-'));
  registry = openStore(`file://${folder}/registry`);
  [bucket, problems] = [new Map(), []];
  mirror = createMirror({
    registry,
    bucket: {
      async put(key, body, condition) {
        if (condition === 'absent' && bucket.has(key)) return false;
        bucket.set(key, Buffer.from(await bytesOf(body)));
        return true;
      },
    },
    name: 'tiny',
    onProblem: (reason) => problems.push(reason),
  });
});
afterEach(() => rmSync(folder, { recursive: true }));

test('an absent folder is one where nothing was published yet, and what is published later is copied, the pointer last', async () => {
  expect(await mirror.sync()).toBeUndefined();
  const manifest = await publish(registry, first);
  expect(await mirror.sync()).toBe(manifest);
  expect([...bucket.keys()].at(-1)).toBe(currentKey('tiny'));
  expect(bucket.get(manifestKey(manifest))).toEqual(first.bytes);
  // The image tower stays in the folder, where the encoder reads it.
  expect(bucket.has(artefactKey(first.manifest.image.graph.file.digest))).toBe(false);
  expect(problems).toEqual([]);
});

test('a rollback copies the pointer and its release, and nothing is copied while the pointer rests', async () => {
  for (const model of [first, second]) {
    await publish(registry, model);
    await mirror.sync();
  }
  const before = new Set(bucket.keys());
  await rollback(registry, 'tiny', { reason: 'a test' });
  await mirror.sync();
  const added = [...bucket.keys()].filter((key) => !before.has(key));
  expect(added).toEqual([expect.stringMatching(/^releases\//)]);
  bucket.clear();
  await mirror.sync();
  expect(bucket.size).toBe(0);
});

test('a damaged file keeps the pointer where it was, is said once, and repaired it is followed', async () => {
  const old = await publish(registry, first);
  await mirror.sync();
  const manifest = await publish(damaging(registry, vocabulary(second)), second);
  for (let i = 0; i < 3; i++) expect(await mirror.sync()).toBe(old);
  expect(problems).toEqual([expect.stringContaining(`${vocabulary(second)} is not what its name says`)]);
  expect(bucket.get(currentKey('tiny'))?.toString()).toContain(old);
  await registry.put(vocabulary(second), Buffer.from('second'));
  expect(await mirror.sync()).toBe(manifest);
});
