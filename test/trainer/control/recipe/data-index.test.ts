// The data digest: exactly the files that a recipe reads, by content.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { beforeEach, expect, it, vi } from 'vitest';
import { IMAGES, MEASURED_ON } from '../../../../contracts/src/training/parts.ts';
import { indexData } from '../../../../trainer/control/recipe/data-index.ts';
import { foldersOf } from '../../../../trainer/control/recipe/locate.ts';
import { tinyAdapt, tinyRecipe, untunedTeacher, type WholeRecipe } from '../../../support/tiny-recipe.ts';

let root = '';
let recipe: WholeRecipe;
let bytesRead: number[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'data-'));
  for (const name of ['train-0.tar', 'dev.tar', 'plain.jsonl', 'unrelated.txt']) writeFileSync(join(root, name), name);
  recipe = tinyRecipe();
  recipe.prepare.classes = null;
  bytesRead = [];
});

async function digest(folder = root): Promise<string> {
  const options = { cache: join(root, 'cache.json'), onRead: (bytes: number) => bytesRead.push(bytes) };
  return (await indexData(recipe, folder, options)).digest;
}

it('is taken by several commands at once, also of containers in which each is process 1', async () => {
  const locate = pathToFileURL(join(import.meta.dirname, '../../../../trainer/control/recipe/locate.ts')).href;
  const source = (name: string): string => `import { mkdirSync, writeFileSync } from 'node:fs';
    import { indexFolder } from ${JSON.stringify(locate)};
    Object.defineProperty(process, 'pid', { value: 1 });
    const folder = ${JSON.stringify(join(root, name))};
    mkdirSync(folder);
    for (let round = 0; round < 400; round++) {
      writeFileSync(folder + '/file', 'x'.repeat(round));
      await indexFolder(folder, ${JSON.stringify(join(root, 'runs'))}, () => {});
    }`;
  const command = (name: string) =>
    spawn(process.execPath, ['--input-type=module', '-e', source(name)], { stdio: 'ignore' });
  const commands = ['one', 'other'].map(command);
  expect(await Promise.all(commands.map((child) => once(child, 'exit')))).toEqual(commands.map(() => [0, null]));
  expect(readdirSync(join(root, 'runs'))).toEqual(['data-digests.json']);
});

it('keeps what was read where a later file cannot be, or where the command is stopped meanwhile', async () => {
  const cache = join(root, 'cache.json');
  const last = join(root, 'train-0.tar');
  const read = (onRead: (bytes: number) => void) => indexData(recipe, root, { cache, onRead });
  // It is the last one by name.
  await expect(read(() => rmSync(last))).rejects.toThrow('ENOENT');
  writeFileSync(last, 'train-0.tar');
  await read((bytes) => bytesRead.push(bytes));
  expect(bytesRead).toEqual(['train-0.tar'.length]);

  rmSync(cache);
  const kept: boolean[] = [];
  let minutes = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
    kept.push(existsSync(cache));
    minutes += 2;
    return minutes * 60_000;
  });
  await read(() => {});
  clock.mockRestore();
  expect(kept).toContain(true);
});

it('changes with a byte, a new shard and a new name, not with an unrelated file or the time', async () => {
  const before = await digest();
  writeFileSync(join(root, 'unrelated.txt'), 'edited');
  utimesSync(join(root, 'dev.tar'), 1, 1);
  expect(await digest()).toBe(before);
  writeFileSync(join(root, 'dev.tar'), 'DEV.tar');
  const edited = await digest();
  expect(edited).not.toBe(before);
  writeFileSync(join(root, 'train-1.tar'), 'more');
  const more = await digest();
  expect(more).not.toBe(edited);
  renameSync(join(root, 'train-1.tar'), join(root, 'train-2.tar'));
  expect(await digest()).not.toBe(more);
});

it('says apart what figures are measured on: dev sources and classes, no train source', async () => {
  const measuredOn = async () => {
    const options = { cache: join(root, 'cache.json'), onRead: () => {} };
    return (await indexData(recipe, root, options)).parts[MEASURED_ON];
  };
  const before = await measuredOn();
  writeFileSync(join(root, 'train-0.tar'), 'edited');
  writeFileSync(join(root, 'train-1.tar'), 'more');
  writeFileSync(join(root, 'plain.jsonl'), 'longer');
  expect(await measuredOn()).toBe(before);
  writeFileSync(join(root, 'dev.tar'), 'DEV.tar');
  const edited = await measuredOn();
  expect(edited).not.toBe(before);
  writeFileSync(join(root, 'classes.json'), '{}');
  recipe.prepare.classes = 'classes.json';
  expect(await measuredOn()).not.toBe(edited);
});

it('is the same in another folder', async () => {
  const copy = mkdtempSync(join(tmpdir(), 'copy-'));
  for (const name of ['train-0.tar', 'dev.tar', 'plain.jsonl']) writeFileSync(join(copy, name), name);
  expect(await digest(copy)).toBe(await digest());
});

it('reads a file once and then knows it by size and time', async () => {
  await digest();
  await digest();
  // The names of the three files are their contents: 11 + 7 + 11 bytes.
  expect(bytesRead).toEqual([29]);
});

it('covers the images beside a table and below a folder', async () => {
  mkdirSync(join(root, 'shop/pictures'), { recursive: true });
  writeFileSync(join(root, 'shop/rows.csv'), 'image,caption\npictures/a.jpg,a');
  writeFileSync(join(root, 'shop/pictures/a.jpg'), 'a');
  recipe.prepare.pairs[0] = { split: 'train', format: 'csv', path: 'shop/rows.csv' };
  const table = await digest();
  writeFileSync(join(root, 'shop/pictures/a.jpg'), 'b2');
  expect(await digest()).not.toBe(table);
  recipe.prepare.pairs[0] = { split: 'train', format: 'folder', path: 'shop' };
  const folder = await digest();
  writeFileSync(join(root, 'shop/pictures/a.txt'), 'a caption');
  expect(await digest()).not.toBe(folder);
});

it('wants every file that braces name, and takes counts of img2dataset along', async () => {
  for (const name of ['cc-08.tar', 'cc-09.tar', 'cc-10.tar']) writeFileSync(join(root, name), name);
  recipe.prepare.pairs[0] = { split: 'train', format: 'webdataset', path: 'cc-{08..10}.tar' };
  const before = await digest();
  writeFileSync(join(root, 'cc-11.tar'), 'of no pattern');
  expect(await digest()).toBe(before);
  writeFileSync(join(root, 'cc-09_stats.json'), '{"status_dict": {"success": 1}}');
  expect(await digest()).not.toBe(before);
  recipe.prepare.pairs[0] = { split: 'train', format: 'webdataset', path: '{cc,dd}-{08..10}.tar' };
  await expect(digest()).rejects.toThrow('prepare.pairs[0].path: nothing matches dd-08.tar');
});

it('covers whatever fine-tuning recognises, and the names of its classes', async () => {
  mkdirSync(join(root, 'shop/Apple'), { recursive: true });
  writeFileSync(join(root, 'shop/Apple/a.jpg'), 'a');
  writeFileSync(join(root, 'classes.json'), '["apple"]');
  recipe.prepare.pairs[0] = { split: 'train', format: 'any', path: 'shop', class_names: 'classes.json' };
  const before = await digest();
  writeFileSync(join(root, 'classes.json'), '["apples"]');
  const named = await digest();
  expect(named).not.toBe(before);
  writeFileSync(join(root, 'shop/Apple/b.jpg'), 'b');
  expect(await digest()).not.toBe(named);
});

it('covers a table and the images near it, and nothing else that lies there', async () => {
  for (const folder of ['work/photos', 'work/node_modules', 'work/.git', 'work/runs', 'pool'])
    mkdirSync(join(root, folder), { recursive: true });
  for (const file of ['work/shop.csv', 'work/photos/a.JPG', 'work/photos/0001', 'pool/b.png'])
    writeFileSync(join(root, file), file);
  recipe.prepare.pairs = [{ split: 'train', format: 'any', path: 'work/shop.csv' }];
  recipe.prepare.texts = [];
  const paths = async () => {
    const { files } = await indexData(recipe, root, { cache: join(root, 'cache.json') });
    return files.map(({ path }) => path);
  };
  const near = ['work/photos/0001', 'work/photos/a.JPG', 'work/shop.csv'];
  expect(await paths()).toEqual(near);
  const others = ['notes.txt', 'other.csv', 'runs/log.txt', '.git/a.jpg', 'node_modules/a.png'];
  for (const file of others) writeFileSync(join(root, 'work', file), file);
  expect(await paths()).toEqual(near);
  rmSync(join(root, 'work/photos'), { recursive: true });
  expect(await paths()).toEqual(['pool/b.png', 'work/shop.csv']);
});

/** Writes files, each of which holds its own name unless it says otherwise, and gives what the index covers of a source. */
function covered(path: string, files: Record<string, string | Buffer>): Promise<string[]> {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), content || file);
  }
  recipe.prepare.pairs = [{ split: 'train', format: 'any', path }];
  recipe.prepare.texts = [];
  const index = indexData(recipe, root, { cache: join(root, 'cache.json') });
  return index.then(({ files: found }) => found.map(({ path: name }) => name));
}

it('covers images beside the folder of their table, whatever lies beside the table', async () => {
  const images = { 'a/images/1.jpg': '', 'a/images/2.jpg': '' };
  const others = { 'a/annotations/LICENSE': '', 'a/annotations/preview.png': '', 'a/logos/3.jpg': '' };
  const near = [
    'a/annotations/LICENSE',
    'a/annotations/preview.png',
    'a/annotations/shop.csv',
    'a/images/1.jpg',
    'a/images/2.jpg',
  ];
  const csv = 'image,caption\n1.jpg,one\n2.jpg,"two, in fact"';
  expect(await covered('a/annotations/shop.csv', { ...images, ...others, 'a/annotations/shop.csv': csv })).toEqual(
    near,
  );
  const before = await digest();
  writeFileSync(join(root, 'a/images/2.jpg'), 'another picture');
  expect(await digest()).not.toBe(before);
  // Also where the folder of the table is what a recipe names.
  expect(await covered('a/annotations', {})).toEqual(near);
});

it('a file without an ending does not stand for the images of a table that names none', async () => {
  const files = { 'b/tables/shop.parquet': '', 'b/tables/LICENSE': '', 'b/photos/1.jpg': '' };
  expect(await covered('b/tables/shop.parquet', files)).toEqual([
    'b/photos/1.jpg',
    'b/tables/LICENSE',
    'b/tables/shop.parquet',
  ]);
});

it.each([
  ['with folders in their names', 'rows.jsonl', '{"image": "photos\\/f\\u00fcr.jpg"}', 'c/x/photos/für.jpg'],
  ['without an ending', 'rows.jsonl', '{"image": "0001"}\n{"image": "0002"}', 'c/x/0002'],
  ['by names that leave the ending out', 'rows.csv', 'image,caption\nv1.5,a cat.', 'c/x/v1.5.JPG'],
  ['through the folder above without an ending', 'rows.csv', 'image,caption\n../../other/1,a', 'other/1.jpg'],
  ['in a table of Windows', 'rows.csv', Buffer.from('image;caption\nf\xfcr.jpg;a', 'latin1'), 'c/x/für.jpg'],
  ['in UTF-16', 'rows.csv', Buffer.from('\ufeffimage;caption\nfür.jpg;a', 'utf16le'), 'c/x/für.jpg'],
  ['with numbers of captions', 'rows.txt', '1.jpg#0\tone\n1.jpg#1\tanother', 'c/x/1.jpg'],
  ['in a gzipped table', 'rows.jsonl.gz', gzipSync('{"image": "1.jpg"}'), 'c/x/1.jpg'],
  ['with their folder apart', 'k.json', '[{"filepath": "val", "filename": "1.jpg"}]', 'c/x/val/1.jpg'],
  ['with the backslashes of Windows', 'rows.csv', 'image,caption\nphotos\\1.jpg,a', 'c/x/photos/1.jpg'],
  ['with backslashes in JSON', 'rows.jsonl', '{"image": "photos\\\\1.jpg"}', 'c/x/photos/1.jpg'],
  ['through the folder above', 'rows.csv', 'image,caption\n../../other/1.jpg,a', 'other/1.jpg'],
])('finds images %s', async (_, table, content, image) => {
  const files = { [`c/t/${table}`]: content, 'c/t/preview.png': '', [image]: '' };
  expect(await covered(`c/t/${table}`, files)).toEqual(['c/t/preview.png', `c/t/${table}`, image].sort());
});

it('knows tars, tables and what lies beside them by endings in either case', async () => {
  const shop = { 'e/SHOP.TAR': '', 'e/SHOP.JSONL': '', 'e/shop.tgz': '', 'e/shop.ndjson': '', 'e/other.jsonl': '' };
  expect(await covered('e/SHOP.TAR', shop)).toEqual(['e/SHOP.JSONL', 'e/SHOP.TAR']);
  expect(await covered('e/shop.tgz', {})).toEqual(['e/shop.ndjson', 'e/shop.tgz']);
  const { tars } = await indexData(recipe, root, { cache: join(root, 'cache.json') });
  expect(tars).toEqual({ count: 1, bytes: 10 });
  recipe.prepare.pairs = [{ split: 'train', format: 'webdataset', path: 'e/SHOP.TAR' }];
  writeFileSync(join(root, 'e/SHOP_stats.json'), '{}');
  const index = await indexData(recipe, root, { cache: join(root, 'cache.json') });
  expect(index.files.map(({ path }) => path)).toEqual(['e/SHOP.TAR', 'e/SHOP_stats.json']);
  expect(index.tars.count).toBe(1);
  const labelled = { 'f/NOUNS.JSONL': '{"key":"axe"}', 'f/NOUNS-0.TGZ': '', 'f/FOOD-0.TGZ': '' };
  await covered('f/NOUNS.JSONL', labelled);
  recipe.prepare.pairs = [{ split: 'train', format: 'labelled', path: 'f/NOUNS.JSONL' }];
  const { files } = await indexData(recipe, root, { cache: join(root, 'cache.json') });
  expect(files.map(({ path }) => path)).toEqual(['f/NOUNS-0.TGZ', 'f/NOUNS.JSONL']);
});

it('finds the images of a table in a folder however the table is written', async () => {
  const packed = gzipSync('{"image": "1.jpg"}');
  const files = { 'g/t/ROWS.NDJSON': '{"image": "2.jpg"}', 'g/t/more.JSONL.GZ': packed, 'g/t/CLASSES.CSV': '3.jpg' };
  const images = { 'g/x/1.jpg': '', 'g/x/2.jpg': '', 'h/3.jpg': '' };
  expect(await covered('g/t', { ...files, ...images })).toEqual(
    [...Object.keys(files), 'g/x/1.jpg', 'g/x/2.jpg'].sort(),
  );
});

it.each(['NFC', 'NFD'])(
  'finds images by names in the other form of Unicode than %s, in which they are stored',
  async (form) => {
    const other = form === 'NFC' ? 'NFD' : 'NFC';
    const image = 'i/x/Töpfe/größe.jpg'.normalize(form);
    const bare = 'i/x/é.1.png'.normalize(form);
    const csv = `image,caption\nTöpfe/größe.jpg,a\né.1,b`.normalize(other);
    const files = await covered('i/t/rows.csv', {
      'i/t/rows.csv': csv,
      'i/t/preview.png': '',
      [image]: '',
      [bare]: '',
    });
    expect(files).toEqual(['i/t/preview.png', 'i/t/rows.csv', image, bare].sort());
  },
);

it('covers images by absolute paths, and not what is elsewhere on the disk where rows name files of the data', async () => {
  const outside = join(mkdtempSync(join(tmpdir(), 'outside-')), '1.jpg');
  writeFileSync(outside, 'where it came from');
  const inside = join(root, 'other/2.jpg');
  const rows = `image,caption,origin\n1.jpg,one,${outside}\n${inside},two,`;
  const files = { 'd/shop.csv': rows, 'd/1.jpg': '', 'other/2.jpg': '' };
  expect(await covered('d/shop.csv', files)).toEqual(['d/1.jpg', 'd/shop.csv', 'other/2.jpg']);
  const away = await covered('d/shop.csv', { 'd/shop.csv': `image,caption\n${outside},one` });
  expect(away.filter((path) => path.startsWith('../'))).toHaveLength(1);
});

it.each(['any', 'folder'] as const)('leaves hidden files alone, as readers of a folder do: %s', async (format) => {
  mkdirSync(join(root, 'own'));
  writeFileSync(join(root, 'own/1.jpg'), '1');
  recipe.prepare.pairs = [{ split: 'train', format, path: 'own' }];
  const before = await digest();
  for (const file of ['.DS_Store', '.git/HEAD', 'b/.ipynb_checkpoints/1.jpg', '._1.jpg']) {
    mkdirSync(dirname(join(root, 'own', file)), { recursive: true });
    writeFileSync(join(root, 'own', file), file);
  }
  expect(await digest()).toBe(before);
  // The digest of data without hidden files: finished runs are found by it.
  expect(before).toBe('sha256:cd025a08c3bea04dd4340a85ff2d69986146ee823050a9c9c5b4d2e05d1c1c68');
});

it('follows links to folders and ends where they go in a circle', async () => {
  mkdirSync(join(root, 'own', 'pear'), { recursive: true });
  mkdirSync(join(root, 'pool'));
  writeFileSync(join(root, 'pool', 'a.jpg'), 'a');
  symlinkSync('../pool', join(root, 'own', 'apple'));
  symlinkSync('..', join(root, 'own', 'pear', 'loop'));
  symlinkSync('itself', join(root, 'own', 'itself'));
  recipe.prepare.pairs = [{ split: 'train', format: 'any', path: 'own' }];
  const { files } = await indexData(recipe, root, { cache: join(root, 'cache.json') });
  expect(files.map(({ path }) => path)).toEqual(['own/apple/a.jpg', 'plain.jsonl']);
});

it('covers the shards beside a table of labels, and captions in other languages', async () => {
  for (const name of ['nouns-000.tar', 'nouns-001.tar', 'food-000.tar', 'zh.jsonl'])
    writeFileSync(join(root, name), name);
  writeFileSync(join(root, 'nouns.jsonl'), '{"key":"axe","label":"axe","shard":"nouns-001.tar"}');
  recipe.prepare.pairs[0] = {
    split: 'train',
    format: 'labelled',
    path: 'nouns.jsonl',
    translated_captions: { zh: 'zh.jsonl' },
  };
  const before = await digest();
  writeFileSync(join(root, 'food-000.tar'), 'of another table');
  expect(await digest()).toBe(before);
  writeFileSync(join(root, 'nouns-001.tar'), 'other pictures');
  const pictures = await digest();
  expect(pictures).not.toBe(before);
  writeFileSync(join(root, 'zh.jsonl'), 'other captions');
  expect(await digest()).not.toBe(pictures);
  recipe.prepare.pairs[0].translated_captions = { uk: 'uk.jsonl' };
  await expect(digest()).rejects.toThrow('prepare.pairs[0].translated_captions.uk: nothing matches uk.jsonl');
});

it('covers the files of the dev sets that evaluate names, behind no part of what prepare writes', async () => {
  mkdirSync(join(root, 'text'));
  writeFileSync(join(root, 'text/stsb.dev.jsonl.gz'), 'pairs');
  const index = () => indexData(recipe, root, { cache: join(root, 'cache.json') });
  const before = await index();
  recipe.evaluate.dev_sets = ['stsb'];
  const after = await index();
  expect(after.digest).not.toBe(before.digest);
  // Figures are measured on them all the same.
  expect(after.parts[MEASURED_ON]).not.toBe(before.parts[MEASURED_ON]);
  expect({ ...after.parts, [MEASURED_ON]: '' }).toEqual({ ...before.parts, [MEASURED_ON]: '' });
  expect(after.files.map(({ path }) => path)).toContain('text/stsb.dev.jsonl.gz');
  recipe.evaluate.dev_sets = ['long'];
  await expect(index()).rejects.toThrow('evaluate.dev_sets: long: nothing matches text/long-captions.dev.jsonl.gz');
});

it('names the recipe field and the folder when nothing is there', async () => {
  recipe.prepare.texts = [{ split: 'dev', kind: 'long', path: 'text/long.jsonl' }];
  await expect(digest()).rejects.toThrow(
    `prepare.texts[0].path: nothing matches text/long.jsonl in the data folder ${root}`,
  );
  await expect(digest()).rejects.toThrow('CLIP_DATA');
  await expect(digest()).rejects.not.toThrow('Where it comes from');
  Object.assign(recipe, { data_source: 'drawn by a test' });
  await expect(digest()).rejects.toThrow('Where it comes from: drawn by a test');
});

it('says by part which files it is made from: a table of pictures is not behind the texts', async () => {
  recipe.prepare.classes = 'classes.json';
  writeFileSync(join(root, 'classes.json'), '{}');
  const parts = async () => (await indexData(recipe, root, { cache: join(root, 'cache.json') })).parts;
  const before = await parts();
  const edited = async (file: string) => {
    writeFileSync(join(root, file), `edited ${file}`);
    const after = await parts();
    const found = Object.keys(after).filter((part) => after[part] !== before[part]);
    Object.assign(before, after);
    return found;
  };
  expect(await edited('train-0.tar')).toEqual(['pairs', ...IMAGES, 'fragments.train']);
  expect(await edited('plain.jsonl')).toEqual(['plain.train']);
  expect(await edited('classes.json')).toEqual(['classes', MEASURED_ON]);
  expect(await edited('unrelated.txt')).toEqual([]);
});

it('a folder of this machine is known by what is in it', async () => {
  const trainer = mkdtempSync(join(tmpdir(), 'trainer-'));
  mkdirSync(join(trainer, 'tiny/weights'), { recursive: true });
  const options = { trainer, runs: root, onRead: () => {} };
  const digests = () => foldersOf({ recipe, data: root }, options);
  writeFileSync(join(trainer, 'tiny/weights/a.bin'), 'first');
  const before = await digests();
  expect([...before.keys()]).toEqual(['tiny']);
  expect(await digests()).toEqual(before);
  writeFileSync(join(trainer, 'tiny/weights/a.bin'), 'other weights');
  expect((await digests()).get('tiny')).not.toBe(before.get('tiny'));
  rmSync(trainer, { recursive: true });
  await expect(digests()).rejects.toThrow(
    `mntp.language_model is the folder tiny of this machine, and there is no folder ${join(trainer, 'tiny')}`,
  );
});

it('folders of adapters count beside that of their model, wherever a recipe names one', async () => {
  const trainer = mkdtempSync(join(tmpdir(), 'trainer-'));
  for (const name of ['base', 'mntp', 'simcse']) mkdirSync(join(trainer, name));
  const { mntp: _, contrastive: __, ...rest } = recipe;
  const untuned = { ...rest, embed_captions: { ...rest.embed_captions, teachers: [untunedTeacher()] } };
  writeFileSync(join(trainer, 'base', 'model.safetensors'), 'weights');
  const read = () => foldersOf({ recipe: untuned, data: root }, { trainer, runs: root, onRead: () => {} });
  const before = await read();
  expect([...before.keys()]).toEqual(['base', 'mntp', 'simcse']);
  expect(before.get('base')).toMatchObject({ root: join(trainer, 'base'), file: null });
  // Other weights under the same name are another folder.
  writeFileSync(join(trainer, 'base', 'model.safetensors'), 'others!!');
  expect((await read()).get('base')?.digest).not.toBe(before.get('base')?.digest);
});

it('a file of weights is one, in the folder that it lies in', async () => {
  const trainer = mkdtempSync(join(tmpdir(), 'trainer-'));
  for (const name of ['small.gguf', 'other.gguf']) writeFileSync(join(trainer, name), name);
  const tuned = {
    ...recipe,
    mntp: { ...recipe.mntp, language_model: { source: 'directory' as const, name: 'small.gguf' } },
  };
  const found = await foldersOf({ recipe: tuned, data: root }, { trainer, runs: root, onRead: () => {} });
  expect(found.get('small.gguf')).toMatchObject({ root: trainer, file: 'small.gguf' });
  expect(found.get('small.gguf')?.files.map(({ path, size }) => [path, size])).toEqual([['small.gguf', 10]]);
});

it('covers what fine-tuning reads: images below a folder, a table beside a tar, and apart from them the model', async () => {
  mkdirSync(join(root, 'model'), { recursive: true });
  writeFileSync(join(root, 'model/manifest.json'), '{}');
  mkdirSync(join(root, 'own/a'), { recursive: true });
  writeFileSync(join(root, 'own/a/1.jpg'), '1');
  const { name, description, seed, data } = tinyRecipe();
  const adapt = { ...tinyAdapt(), model: 'model', own: { ...tinyAdapt().own, path: 'own' } };
  const adapting = () => indexData({ name, description, seed, data, adapt }, root, { cache: join(root, 'cache.json') });
  expect((await adapting()).files.map(({ path }) => path)).toEqual(['own/a/1.jpg']);
  const model = async () => {
    const found = await foldersOf(
      { recipe: { name, description, seed, data, adapt }, data: root },
      { trainer: root, runs: root, onRead: () => {} },
    );
    return found.get('model');
  };
  const before = await model();
  expect(before?.files.map(({ path }) => path)).toEqual(['manifest.json']);
  writeFileSync(join(root, 'model/manifest.json'), '{"name": "another"}');
  expect((await model())?.digest).not.toBe(before?.digest);
  writeFileSync(join(root, 'shop-000.tar'), 'tar');
  writeFileSync(join(root, 'shop.jsonl'), 'rows');
  adapt.own.path = 'shop-000.tar';
  expect((await adapting()).files.map(({ path }) => path)).toEqual(['shop-000.tar', 'shop.jsonl']);
  adapt.own.path = 'nothing';
  await expect(adapting()).rejects.toThrow('adapt.own.path: nothing matches nothing in the data folder');
});
