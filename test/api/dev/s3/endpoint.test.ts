// The bucket of this machine where the store behind it fails: an answer, and the next request is served.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type LocalBucket, startBucket } from '../../../../api/dev/s3/endpoint.ts';
import { encodeDocument, type ObjectStore, objectOf } from '../../../../api/registry/store.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';

const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const DOCUMENT = encodeDocument({ version: '1' });

/** As a binding does whose service is gone: found, and then no byte of it can be read, or it cannot even be looked for. */
const closed = (): Promise<never> => Promise.reject(new Error('the bucket <models> is closed'));
let isClosed: 'reading' | 'looking' | undefined;
const failing: ObjectStore = {
  uri: 'memory:',
  async get() {
    if (isClosed === 'looking') return closed();
    return isClosed ? { ...objectOf(DOCUMENT, '1'), bytes: closed } : objectOf(DOCUMENT, '1');
  },
  read: closed,
  put: closed,
  list: closed,
};

let bucket: LocalBucket;
let client: ObjectStore;
beforeAll(async () => {
  bucket = await startBucket({ bucket: 'models', keys: { ...KEYS, region: 'auto' }, store: () => failing });
  vi.stubEnv('AWS_REGION', 'auto');
  vi.stubEnv('AWS_MAX_ATTEMPTS', '1');
  client = openStore('s3://models', { endpoint: bucket.url, credentials: KEYS });
});
afterAll(() => {
  vi.unstubAllEnvs();
  bucket.stop();
});

test('names of every letter are listed and read as they are, by the SDK', async () => {
  const names = ['100%.jpg', 'a b.jpg', 'a&b <1>.jpg', 'a+b.jpg', 'deep/er/\u00fc.jpg'];
  const folder = openStore(`file://${mkdtempSync(join(tmpdir(), 'names '))}`);
  for (const name of names) await folder.put(name, DOCUMENT);
  const other = await startBucket({ bucket: 'names', keys: { ...KEYS, region: 'auto' }, store: () => folder });
  const store = openStore('s3://names', { endpoint: other.url, credentials: KEYS });
  expect((await store.list('')).map(({ key }) => key)).toEqual(names);
  for (const name of names) expect(await (await store.get(name))?.bytes()).toEqual(DOCUMENT);
  other.stop();
});

test.each(['reading', 'looking'] as const)('a store that fails while %s is told why', async (what) => {
  isClosed = what;
  await expect(client.get('current.json')).rejects.toThrow('the bucket <models> is closed');
  isClosed = undefined;
  expect(await (await client.get('current.json'))?.bytes()).toEqual(DOCUMENT);
});

test.each(['put', 'list'] as const)('so is one that fails to %s', async (what) => {
  const asked = what === 'put' ? client.put('a.json', DOCUMENT) : client.list('', { most: 1 });
  await expect(asked).rejects.toThrow('the bucket <models> is closed');
  expect(await (await client.get('current.json'))?.bytes()).toEqual(DOCUMENT);
});
