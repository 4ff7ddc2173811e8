// Tables that hold their images themselves, and what a person may not read beside a table: neither changes nor ends the index.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { filesOfFolder, filesOfTable } from '../../../../trainer/control/recipe/table-images.ts';

/** Whose rights count, other than root's. */
const NOBODY = 65534;

let home = '';
beforeEach(() => {
  // The folder of all tests is closed to others.
  home = mkdtempSync('/tmp/home-');
  chmodSync(home, 0o755);
  for (const file of ['me/photos/1.jpg', 'other/2.jpg', 'other/deep/3.jpg', 'other/.hidden.jpg']) put(file, file);
});
afterEach(() => {
  for (const folder of ['me/private', 'other', 'me/photos']) chmodSync(join(home, folder), 0o755);
  rmSync(home, { recursive: true });
});

function put(file: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(home, file)), { recursive: true });
  mkdirSync(join(home, 'me/private'), { recursive: true });
  writeFileSync(join(home, file), content);
}

const indexed = (file: string, column?: string): string[] =>
  filesOfTable(join(home, file), home, column)
    .map((path) => relative(home, path))
    .sort();

const parquet = (...columnData: ColumnSource[]): Uint8Array => new Uint8Array(parquetWriteBuffer({ columnData }));
const held = (name: string, ...data: (Uint8Array | null)[]): ColumnSource => ({ name, type: 'BYTE_ARRAY', data });
const named = (name: string, ...data: string[]): ColumnSource => ({ name, type: 'STRING', data });
const BYTES = new Uint8Array([1, 2]);

/** As pyarrow writes Hugging Face's column `image` of {bytes, path}, with the bytes and without. */
const HUGGING_FACE =
  'UEFSMRUAFRYVFiwVAhUAFQYVBhw2ACgBeBgBeBERAAAAAgAAAAICAQAAAHgVABUeFR4sFQIVABUGFQYcNgAoBTEuanBnGAUxLmpwZxERAAAAAgAAAAICBQAAADEuanBnFQAVFhUWLBUCFQAVBhUGHDYAKAFhGAFhEREAAAACAAAAAgEBAAAAYRUEGVw1ABgGc2NoZW1hFQQANQIYBWltYWdlFQQAFQwlAhgFYnl0ZXMAFQwlAhgEcGF0aCUATBwAAAAVDCUCGAR0ZXh0JQBMHAAAABYCGRwZPCYAHBUMGSUGABkoBWltYWdlBWJ5dGVzFQAWAhZQFlAmCDw2ACgBeBgBeBERABkcFQAVABUCADwWAhkGGTYAAAIAAAAmABwVDBklBgAZKAVpbWFnZQRwYXRoFQAWAhZoFmgmWDw2ACgFMS5qcGcYBTEuanBnEREAGRwVABUAFQIAPBYKGQYZNgAAAgAAACYAHBUMGSUGABkYBHRleHQVABYCFlAWUCbAATw2ACgBYRgBYRERABkcFQAVABUCADwWAhkGGSYAAgAAABaIAhYCJggWiAIAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRk8HAAAHAAAHAAAAFMBAABQQVIx';
const WITHOUT_BYTES =
  'UEFSMRUAFQwVDCwVAhUAFQYVBhw2AgAAAAIAAAACARUAFR4VHiwVAhUAFQYVBhw2ACgFMS5qcGcYBTEuanBnEREAAAACAAAAAgIFAAAAMS5qcGcVABUWFRYsFQIVABUGFQYcNgAoAWEYAWEREQAAAAIAAAACAQEAAABhFQQZXDUAGAZzY2hlbWEVBAA1AhgFaW1hZ2UVBAAVDCUCGAVieXRlcwAVDCUCGARwYXRoJQBMHAAAABUMJQIYBHRleHQlAEwcAAAAFgIZHBk8JgAcFQwZJQYAGSgFaW1hZ2UFYnl0ZXMVABYCFjYWNiYIPDYCABkcFQAVABUCADwWABkGGTYAAgAAAAAmABwVDBklBgAZKAVpbWFnZQRwYXRoFQAWAhZoFmgmPjw2ACgFMS5qcGcYBTEuanBnEREAGRwVABUAFQIAPBYKGQYZNgAAAgAAACYAHBUMGSUGABkYBHRleHQVABYCFlAWUCamATw2ACgBYRgBYRERABkcFQAVABUCADwWAhkGGSYAAgAAABbuARYCJggW7gEAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRk8HAAAHAAAHAAAAEsBAABQQVIx';

it.each<[string, string | Uint8Array, string?]>([
  ['uris.jsonl', '{"image": "data:image\\/jpeg;base64,AAAA", "caption": "a vase"}\n'],
  ['uris.csv', 'caption;image\na vase;data:image/png;base64,AAAA\n'],
  ['bytes.parquet', parquet(held('image', BYTES, BYTES), named('url', 'https://a/1.jpg', 'https://a/2.jpg'))],
  ['named.pq', parquet(held('scan', BYTES), named('image', '1.jpg')), 'scan'],
  ['hub.parquet', Buffer.from(HUGGING_FACE, 'base64')],
])('a table that holds its images is alone: %s', (file, content, column) => {
  put(`me/${file}`, content);
  expect(indexed(`me/${file}`, column)).toEqual([`me/${file}`]);
});

it.each<[string, Uint8Array]>([
  ['names', parquet(named('image', '1.jpg'), named('text', 'a'))],
  ['bytes of something else', parquet(named('image', '1.jpg'), held('embedding', BYTES))],
  ['a row without bytes', parquet(held('image', BYTES, null))],
  ['bytes in no row', Buffer.from(WITHOUT_BYTES, 'base64')],
  ['nothing that is Parquet', BYTES],
])('a table of Parquet that may name images counts with them: %s', (_, content) => {
  put('me/shop.parquet', content);
  expect(indexed('me/shop.parquet')).toEqual(['me/photos/1.jpg', 'me/shop.parquet']);
  // Beside the folder of the table the reader looks into folders, and not below them.
  rmSync(join(home, 'me/photos/1.jpg'));
  expect(indexed('me/shop.parquet')).toEqual(['me/shop.parquet', 'other/2.jpg']);
});

it.each<[string, string[], string[]]>([
  ['below a folder beside', ['2024/may/1.jpg', '2025/2.jpg'], ['pictures/2024/may/1.jpg', 'pictures/2025/2.jpg']],
  ['with the endings left out', ['2024/may/1', '2025/2'], ['pictures/2024/may/1.jpg', 'pictures/2025/2.jpg']],
  ['as Windows writes them', ['2024\\may\\1.jpg', '2025\\2.jpg'], ['pictures/2024/may/1.jpg', 'pictures/2025/2.jpg']],
  [
    'by way of the folder above',
    ['../pictures/2024/may/1.jpg', '../pictures/2025/2.jpg'],
    ['pictures/2024/may/1.jpg', 'pictures/2025/2.jpg'],
  ],
])('images that a table of Parquet names %s count with it, and what lies beside them', (_, names, images) => {
  for (const image of images) put(image, image);
  rmSync(join(home, 'me/photos/1.jpg'));
  const file = parquet(named('image', ...names), named('text', 'a', 'b'));
  put('me/shop.parquet', file);
  expect(indexed('me/shop.parquet')).toEqual(['me/shop.parquet', ...images]);
  // The same as the only table of a folder.
  put('tables/shop.parquet', file);
  expect(
    filesOfFolder(join(home, 'tables'), home)
      .map((path) => relative(home, path))
      .sort(),
  ).toEqual([...images, 'tables/shop.parquet']);
});

/** A letter of each name, after 64 that are the same: more than some writers keep of the first and the last one. */
const LONG = 'long'.repeat(16);
const COMPRESSORS = {
  GZIP: (bytes: Uint8Array) => gzipSync(bytes),
  BROTLI: (bytes: Uint8Array) => brotliCompressSync(bytes),
  ZSTD: (bytes: Uint8Array) => zstdCompressSync(bytes),
};

it.each<[string, Omit<Parameters<typeof parquetWriteBuffer>[0], 'columnData'>]>([
  ['leaves the first and the last name out', { statistics: false }],
  ['leaves them out and packs nothing', { statistics: false, codec: 'UNCOMPRESSED' }],
  ['leaves them out and packs with gzip', { statistics: false, codec: 'GZIP' }],
  ['leaves them out and packs with Brotli', { statistics: false, codec: 'BROTLI' }],
  ['leaves them out and packs with Zstandard', { statistics: false, codec: 'ZSTD' }],
  ['leaves them out of many groups of rows', { statistics: false, rowGroupSize: 1 }],
  ['cuts the first and the last name', { statisticsTruncateLength: 16 }],
  ['cuts them inside the name of a folder', { statisticsTruncateLength: 3 }],
])('images in deeper folders count where who writes the table of Parquet %s', (_, options) => {
  const names = [`2024/may/${LONG}1.jpg`, `2025/${LONG}2.jpg`, `2025/${LONG}2.jpg`];
  const images = names.slice(0, 2).map((name) => `pictures/${name}`);
  for (const image of images) put(image, image);
  rmSync(join(home, 'me/photos/1.jpg'));
  for (const written of [names, names.map((name) => `../pictures/${name}`)]) {
    const columnData = [named('image', ...written), named('text', 'a', 'b', 'c')];
    put('me/shop.parquet', new Uint8Array(parquetWriteBuffer({ columnData, compressors: COMPRESSORS, ...options })));
    expect(indexed('me/shop.parquet')).toEqual(['me/shop.parquet', ...images]);
  }
});

it('a table of Parquet that names a file in the folder above does not count all that is there', () => {
  rmSync(join(home, 'me/photos/1.jpg'));
  put('me/shop.parquet', parquet(named('image', '../a.jpg', '../other/2.jpg')));
  expect(indexed('me/shop.parquet')).toEqual(['me/shop.parquet', 'other/2.jpg']);
});

it.each([
  ['a folder below', 'me/private', 0o000],
  ['a folder beside', 'other', 0o000],
  ['what is in a folder beside', 'other', 0o444],
])('%s that may not be read is none of the images', (_, closed, mode) => {
  put('me/shop.parquet', parquet(named('image', '4.jpg')));
  put('me/shop.csv', 'image,caption\n1.jpg,a');
  rmSync(join(home, 'me/photos/1.jpg'));
  chmodSync(join(home, closed), mode);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    const [csv, columns] = [indexed('me/shop.csv'), indexed('me/shop.parquet')];
    const rest = closed === 'other' ? [] : ['other/2.jpg'];
    expect([csv, columns]).toEqual([
      ['me/shop.csv', ...rest],
      ['me/shop.parquet', ...rest],
    ]);
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});
