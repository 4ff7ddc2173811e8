// Sources of images: every file that a Dockerfile copies is in them, and nothing that would not change the image.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  buildContext,
  checkoutDigest,
  IMAGES,
  type ImageName,
  imagesOf,
  sourceOf,
} from '../../../../infra/deploy/images/source.ts';

import { settingsOf } from '../../../../infra/environments.ts';
import { GPU_ENCODER, GPU_SHARDS } from '../../../support/synthesis.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const ALL = Object.keys(IMAGES) as ImageName[];

it.each(ALL)('the source of the %s holds all that its Dockerfile copies', (image) => {
  const { files } = sourceOf(image, ROOT);
  const copied = readFileSync(join(ROOT, IMAGES[image].dockerfile), 'utf8')
    .split('\n')
    .flatMap((line) => /^COPY (?!--from)(.+) \S+$/.exec(line)?.[1]?.split(' ') ?? []);
  expect(copied.length).toBeGreaterThan(4);
  for (const path of copied)
    expect(
      files.some((file) => file === path || file.startsWith(`${path}/`)),
      path,
    ).toBe(true);
  expect(files).toContain('.dockerignore');
  expect(files).toContain(IMAGES[image].dockerfile);
});

it('the context is the allow list without what later lines leave out', () => {
  const root = mkdtempSync(join(tmpdir(), 'context '));
  const write = (path: string): void => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), path);
  };
  for (const path of ['a/one.py', 'a/left/two.py', 'a/deep/__pycache__/one.pyc', 'a/b.pyc', 'c.json', 'secret.txt'])
    write(path);
  writeFileSync(join(root, '.dockerignore'), '# what\n*\n!a\n!c.json\n!absent\na/left\n**/__pycache__\n**/*.pyc\n');
  expect(buildContext(root)).toEqual(['a/one.py', 'c.json']);
});

it('an image is named by its own files: a change of the other image, or of a test, names it as before', () => {
  const root = mkdtempSync(join(tmpdir(), 'checkout '));
  for (const file of [
    '.dockerignore',
    'package.json',
    'package-lock.json',
    'trainer/Dockerfile',
    'api/encoder/Dockerfile',
    'api/encoder/gpu.Dockerfile',
  ]) {
    mkdirSync(join(root, file, '..'), { recursive: true });
    cpSync(join(ROOT, file), join(root, file));
  }
  const digests = () => ALL.map((image) => sourceOf(image, root).digest);
  const [trainer, encoder, gpu] = digests();
  // Both are built from the same files.
  expect(gpu).not.toBe(encoder);
  const checkout = checkoutDigest(root);
  mkdirSync(join(root, 'trainer/stages'));
  writeFileSync(join(root, 'trainer/stages/clip.py'), 'pass');
  mkdirSync(join(root, 'test'));
  writeFileSync(join(root, 'test/any.test.ts'), '');
  expect(digests()[0]).not.toBe(trainer);
  expect(digests()[1]).toBe(encoder);
  expect(checkoutDigest(root)).not.toBe(checkout);
});

it('the image for machines with a GPU is built where the settings have them', () => {
  const { encoder, bulk } = settingsOf('prod');
  expect(imagesOf({ encoder, bulk })).toEqual(['trainer', 'encoder']);
  expect(imagesOf({ encoder: { ...encoder, gpu: GPU_ENCODER }, bulk })).toEqual(ALL);
  expect(imagesOf({ encoder, bulk: { ...bulk, gpu: GPU_SHARDS } })).toEqual(ALL);
});
