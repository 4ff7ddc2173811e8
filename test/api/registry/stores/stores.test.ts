// One suite for every store: a folder, an S3 bucket and an R2 binding keep the same promises.
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf, type ObjectBody, type ObjectStore } from '../../../../api/registry/store.ts';
import { sha256Of, verifying } from '../../../../api/registry/stores/hash.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { openR2Store } from '../../../../api/registry/stores/r2.ts';
import { type AwsEmulator, startAws } from '../../../support/aws-emulator.ts';

const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' };
/** More than there are tests: each takes one. */
const BUCKETS = Array.from({ length: 20 }, (_, number) => `BUCKET_${number}`);
let aws: AwsEmulator;
let worker: Miniflare;
beforeAll(async () => {
  aws = await startAws(tmpdir());
  worker = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: 'export default {}',
      r2Buckets: BUCKETS,
    }),
  );
});
afterAll(async () => {
  aws.stop();
  await worker.dispose();
});

let count = 0;
const KINDS: [string, () => Promise<ObjectStore>][] = [
  ['a folder', async () => openStore(`file://${mkdtempSync(join(tmpdir(), 'store '))}`)],
  [
    'a part of an S3 bucket',
    async () => {
      const Bucket = `store-${++count}`;
      const client = new S3Client({ endpoint: aws.endpoint, region: 'auto', credentials, forcePathStyle: true });
      await client.send(new CreateBucketCommand({ Bucket }));
      return openStore(`s3://${Bucket}/below/`, { endpoint: aws.endpoint, credentials });
    },
  ],
  ['an R2 binding', async () => openR2Store(await worker.getR2Bucket(BUCKETS.pop() ?? ''))],
];

it('lists a link to a file as that file, and none that leads nowhere or to a folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'links '));
  mkdirSync(join(folder, 'real'));
  writeFileSync(join(folder, 'real', 'cat.jpg'), 'cat');
  for (const [name, to] of Object.entries({
    'link.jpg': 'real/cat.jpg',
    gone: 'nowhere',
    linked: 'real',
    round: 'round',
  }))
    symlinkSync(to, join(folder, name));
  const store = openStore(`file://${folder}`);
  expect(await store.list('')).toEqual([
    { key: 'link.jpg', size: 3 },
    { key: 'real/cat.jpg', size: 3 },
  ]);
  expect(await store.get('round')).toBeUndefined();
  expect((await store.list('', { unreadable: true })).filter(({ size }) => size === 0)).toEqual([
    { key: 'gone', size: 0 },
    { key: 'linked', size: 0 },
    { key: 'round', size: 0 },
  ]);
});

const bytes = (text: string) => new TextEncoder().encode(text);
/** More than a store holds in memory at a time, in parts that come one after the other. */
const LARGE = 9 * 2 ** 20;
const large: ObjectBody = {
  size: LARGE,
  async *stream() {
    for (let part = 0; part < 9; part++) yield new Uint8Array(2 ** 20).fill(part);
  },
};

describe.each(KINDS)('a store in %s', (_, open) => {
  let store: ObjectStore;
  beforeEach(async () => {
    store = await open();
  });

  it('gives back what was put, and undefined for what was not', async () => {
    expect(await store.put('a/b.txt', bytes('grüße'))).toBe(true);
    const found = async () => (await store.get('a/b.txt')) ?? Promise.reject(new Error('it is gone'));
    expect(await found()).toMatchObject({ size: 7 });
    expect(await (await found()).text()).toBe('grüße');
    expect(Buffer.from(await (await found()).bytes()).toString()).toBe('grüße');
    expect(await (await found()).digest()).toBe(sha256Of('grüße'));
    expect(await store.get('a/c.txt')).toBeUndefined();
    expect(await store.get('a')).toBeUndefined();
  });

  it('gives some of the bytes, and of what is not there none', async () => {
    await store.put('a/b.txt', bytes('0123456789'));
    const some = async (from: number, to: number) => {
      const parts: Uint8Array[] = [];
      for await (const part of (await store.read('a/b.txt', { from, to })) ?? []) parts.push(part);
      return Buffer.concat(parts).toString();
    };
    expect([await some(0, 1), await some(3, 7), await some(9, 10), await some(0, 10)]).toEqual([
      '0',
      '3456',
      '9',
      '0123456789',
    ]);
    expect(await store.read('a/c.txt', { from: 0, to: 1 })).toBeUndefined();
  });

  it('takes a body as a stream and gives it as one', async () => {
    await store.put('large', large);
    const object = await store.get('large');
    expect(object?.size).toBe(LARGE);
    const digest = sha256Of(await bytesOf(large));
    let length = 0;
    for await (const part of verifying(object?.stream() ?? large.stream(), { path: 'large', digest, size: LARGE })) {
      length += part.byteLength;
    }
    expect(length).toBe(LARGE);
  });

  it('copies an object of another store without more than its stream', async () => {
    const source = openStore(`file://${mkdtempSync(join(tmpdir(), 'store '))}`);
    await source.put('large', large);
    await store.put('copy', (await source.get('large')) ?? bytes(''));
    expect(await (await store.get('copy'))?.digest()).toBe(sha256Of(await bytesOf(large)));
  });

  it('writes only where there is nothing, if that is asked', async () => {
    expect(await store.put('key', bytes('first'), 'absent')).toBe(true);
    expect(await store.put('key', bytes('second'), 'absent')).toBe(false);
    expect(await (await store.get('key'))?.text()).toBe('first');
  });

  it('writes only over the object of an etag, if that is asked', async () => {
    await store.put('key', bytes('first'));
    const { etag = '' } = (await store.get('key')) ?? {};
    expect(await store.put('absent', bytes('second'), { etag })).toBe(false);
    expect(await store.put('key', bytes('other'), { etag })).toBe(true);
    expect(await store.put('key', bytes('third'), { etag })).toBe(false);
    expect(await (await store.get('key'))?.text()).toBe('other');
  });

  it('lets one of two writers through that saw the same object', async () => {
    await store.put('key', bytes('first'));
    const { etag = '' } = (await store.get('key')) ?? {};
    const written = await Promise.all(['a', 'b'].map((text) => store.put('key', bytes(text), { etag })));
    expect(written.toSorted()).toEqual([false, true]);
  });

  it('lists what begins with a prefix, sorted, with sizes', async () => {
    for (const key of ['b/2', 'b/10', 'a/1', 'bc']) await store.put(key, bytes(key));
    expect(await store.list('b')).toEqual([
      { key: 'b/10', size: 4 },
      { key: 'b/2', size: 3 },
      { key: 'bc', size: 2 },
    ]);
    expect(await store.list('b/1')).toEqual([{ key: 'b/10', size: 4 }]);
    expect(await store.list('nothing/')).toEqual([]);
  });

  it('lists a page: behind a key, which need not be there, and not more than so many', async () => {
    for (const key of ['page/1', 'page/2', 'page/3', 'page/5', 'pages']) await store.put(key, bytes(key));
    const keysOf = async (page: { after?: string; most?: number }) =>
      (await store.list('page/', page)).map(({ key }) => key);
    expect(await keysOf({ most: 2 })).toEqual(['page/1', 'page/2']);
    expect(await keysOf({ after: 'page/2', most: 2 })).toEqual(['page/3', 'page/5']);
    expect(await keysOf({ after: 'page/4' })).toEqual(['page/5']);
    expect(await keysOf({ after: 'page/5', most: 2 })).toEqual([]);
  });

  it('lists folders in the order of their keys, behind every key and for every beginning', async () => {
    // A slash is sorted between what may stand before and behind it in a name.
    const keys = ['a!/x', 'a-b/c', 'a.b/c', 'a/b/c', 'a/b.d', 'a/b0', 'a0/x', 'aa'].sort();
    for (const key of keys) await store.put(key, bytes('x'));
    const listed = async (prefix: string, after?: string, most?: number) =>
      (await store.list(prefix, { after, most })).map(({ key }) => key);
    for (const prefix of ['', 'a', 'a/', 'a/b', 'a/b/', 'a.', 'c'])
      for (const after of [undefined, 'a', 'a/', 'a/b', 'a/b/c', 'a0']) {
        const wanted = keys.filter((key) => key.startsWith(prefix) && key > (after ?? ''));
        expect(await listed(prefix, after)).toEqual(wanted);
        expect(await listed(prefix, after, 2)).toEqual(wanted.slice(0, 2));
      }
  });
});

it('bytes that are not those of a descriptor are named when they end', async () => {
  const artefact = { path: 'text.onnx', digest: sha256Of('others'), size: 6 };
  async function* stream() {
    yield bytes('altered');
  }
  const read = async () => {
    for await (const part of verifying(stream(), artefact)) expect(part.byteLength).toBe(7);
  };
  await expect(read()).rejects.toThrow('text.onnx has 7 bytes of 6: it is not what its name says');
});
