// Large objects of a bucket that fails now and then: sent in parts, there as a whole or not at all. And keys that are replaced.
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, HeadObjectCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type LocalBucket, startBucket } from '../../../../api/dev/s3/endpoint.ts';
import { bytesOf, type ObjectBody, type ObjectStore } from '../../../../api/registry/store.ts';
import { sha256Of } from '../../../../api/registry/stores/hash.ts';
import { partBytes } from '../../../../api/registry/stores/multipart.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { openS3Store } from '../../../../api/registry/stores/s3.ts';
import { type AwsAccount, startAccount } from '../../../support/aws-account.ts';
import { type AwsEmulator, startAws } from '../../../support/aws-emulator.ts';
import { type FaultyProxy, type Passed, startProxy } from '../../../support/faulty-proxy.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const MIB = 2 ** 20;
const folder = () => openStore(`file://${mkdtempSync(join(tmpdir(), 'bucket '))}`);

/** `pieces` of 3 MiB that come one after the other; `says`: another size than they have. */
function bodyOf(pieces: number, says = pieces * 3 * MIB): ObjectBody {
  return {
    size: says,
    async *stream() {
      for (let piece = 0; piece < pieces; piece += 1) yield new Uint8Array(3 * MIB).fill(piece);
    },
  };
}
/** 30 MiB: three parts of 8 and one of 6. */
const LARGE = bodyOf(10);
const isPart = ({ method, url }: Passed) => method === 'PUT' && url.includes('partNumber=');
const isEnd = ({ method, url }: Passed) => method === 'POST' && url.includes('uploadId=');

describe('a large object', () => {
  let behind: ObjectStore;
  let bucket: LocalBucket;
  let proxy: FaultyProxy;
  let store: ObjectStore;
  beforeEach(async () => {
    behind = folder();
    bucket = await startBucket({ bucket: 'models', keys: { ...KEYS, region: 'auto' }, store: () => behind });
    proxy = await startProxy(bucket.url);
    store = openStore('s3://models', { endpoint: proxy.url, credentials: KEYS });
  });
  afterEach(() => {
    proxy.stop();
    bucket.stop();
  });

  it('is sent in parts of one size, a few at a time, and is what was sent', async () => {
    let [made, most, received] = [0, 0, 0];
    const body: ObjectBody = {
      size: 15 * 3 * MIB,
      async *stream() {
        for await (const piece of bodyOf(15).stream()) {
          made += piece.byteLength;
          most = Math.max(most, made - received);
          yield piece;
        }
      },
    };
    proxy.fault = (passed) => {
      received += passed.bytes;
      return undefined;
    };
    expect(await store.put('large', body)).toBe(true);
    // A part may come twice, where its answer took too long.
    const sizes = new Map(proxy.passed.filter(isPart).map(({ url, bytes }) => [url, bytes / MIB]));
    expect([...sizes.values()].toSorted()).toEqual([5, ...Array(5).fill(8)]);
    // Three parts that are sent, one that is read, and the piece that it is read from.
    expect(most).toBeLessThanOrEqual((4 * 8 + 3) * MIB);
    expect(await (await store.get('large'))?.digest()).toBe(sha256Of(await bytesOf(body)));
    expect(bucket.uploads).toBe(0);
  });

  it('survives a store that has no room for one part for longer than the SDK asks', async () => {
    let refused = 0;
    proxy.fault = (passed) => {
      if (!passed.url.includes('partNumber=2&')) return undefined;
      refused += 1;
      return refused <= 4 ? 503 : undefined;
    };
    expect(await store.put('large', LARGE)).toBe(true);
    expect(refused).toBe(5);
    expect(await (await behind.get('large'))?.digest()).toBe(sha256Of(await bytesOf(LARGE)));
  });

  it('that the store does not take leaves nothing behind', async () => {
    proxy.fault = (passed) => (passed.url.includes('partNumber=3&') ? 403 : undefined);
    await expect(store.put('large', LARGE)).rejects.toThrow('writing large in s3://models: access is denied');
    expect([bucket.uploads, await behind.list('')]).toEqual([0, []]);
  });

  it('whose source breaks off, or has another size than it said, leaves nothing behind', async () => {
    const broken: ObjectBody = {
      size: LARGE.size,
      async *stream() {
        yield* bodyOf(5).stream();
        throw new Error('the disk is gone');
      },
    };
    await expect(store.put('large', broken)).rejects.toThrow('the disk is gone');
    await expect(store.put('large', bodyOf(9, LARGE.size))).rejects.toThrow(
      `large had ${30 * MIB} bytes and then ${27 * MIB}: it changed while it was written`,
    );
    await expect(store.put('large', bodyOf(11, LARGE.size))).rejects.toThrow('it changed while it was written');
    expect([bucket.uploads, await behind.list('')]).toEqual([0, []]);
  });

  it('is not sent where its condition does not hold, and not written where another one comes before its end', async () => {
    const other = new TextEncoder().encode('other');
    await behind.put('there', other);
    const { etag = '' } = (await store.get('there')) ?? {};
    expect(await store.put('there', LARGE, 'absent')).toBe(false);
    expect(await store.put('there', LARGE, { etag: '"another"' })).toBe(false);
    expect(proxy.passed.filter(isPart)).toEqual([]);
    expect(await store.put('there', LARGE, { etag })).toBe(true);
    proxy.fault = async (passed) => {
      if (isEnd(passed)) await behind.put('new', other);
      return undefined;
    };
    expect(await store.put('new', LARGE, 'absent')).toBe(false);
    expect(await (await behind.get('new'))?.text()).toBe('other');
    expect(bucket.uploads).toBe(0);
  });

  it.each([undefined, 'absent' as const])(
    'is known for its own where the last answer is lost (%s)',
    async (condition) => {
      let lost = 0;
      proxy.fault = (passed) => {
        if (!isEnd(passed)) return undefined;
        lost += 1;
        return lost === 1 ? 'lost' : undefined;
      };
      expect(await store.put('large', LARGE, condition)).toBe(true);
      expect(lost).toBe(2);
      expect(await (await behind.get('large'))?.digest()).toBe(sha256Of(await bytesOf(LARGE)));
    },
  );

  it('of any size that a store takes has no more parts than it takes, and a larger one is refused unsent', async () => {
    const TIB = 2 ** 40;
    for (const size of [9 * MIB, 78 * 1024 * MIB, 79 * 1024 * MIB, 4.99 * TIB]) {
      const part = partBytes('any', size);
      expect(Math.ceil(size / part)).toBeLessThanOrEqual(10_000);
      expect(part).toBeLessThan(5 * 1024 * MIB);
    }
    await expect(store.put('huge', bodyOf(1, 5 * TIB))).rejects.toThrow('split it');
    expect(proxy.passed).toEqual([]);
  });
});

describe('a content whose connection breaks off', () => {
  const bytes = Buffer.from(Array.from({ length: 9 * MIB }, (_, at) => (at * 31) % 251));
  /** Sends so many bytes of what is asked for. */
  async function cutting(sent: number, options: { etags?: string[]; knowsRanges?: boolean } = {}) {
    const asked: { range: string | undefined; ifMatch: string | undefined }[] = [];
    const server = createServer(({ headers }, response) => {
      const { range, 'if-match': ifMatch } = headers;
      asked.push({ range, ifMatch });
      const etag = options.etags?.shift() ?? '"1"';
      if (ifMatch !== undefined && ifMatch !== etag) return void response.writeHead(412).end();
      const [, from] = (options.knowsRanges === false ? [] : /^bytes=(\d+)-/.exec(range ?? '')) ?? [];
      const rest = bytes.subarray(Number(from ?? 0));
      const ranged = from === undefined ? {} : { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      response.writeHead(from === undefined ? 200 : 206, { etag, 'content-length': rest.length, ...ranged });
      if (rest.length <= sent) return void response.end(rest);
      response.write(rest.subarray(0, sent), () => response.destroy());
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const store = openStore('s3://models', { endpoint: url, credentials: KEYS });
    return { store, asked, stop: () => server.close() };
  }

  it('is asked for again from there on, as the object that it was', async () => {
    const { store, asked, stop } = await cutting(4 * MIB);
    expect(await (await store.get('large'))?.digest()).toBe(sha256Of(bytes));
    expect(asked).toHaveLength(3);
    expect(asked[0]).toEqual({ range: undefined, ifMatch: undefined });
    for (const { range, ifMatch } of asked.slice(1))
      expect([range, ifMatch]).toEqual([expect.stringMatching(new RegExp(`-${bytes.length - 1}$`)), '"1"']);
    asked.length = 0;
    const range = { from: 1000, to: 9 * MIB };
    const parts: Uint8Array[] = [];
    for await (const part of (await store.read('large', range)) ?? []) parts.push(part);
    expect(Buffer.concat(parts).equals(bytes.subarray(range.from))).toBe(true);
    expect(asked).toHaveLength(3);
    stop();
  });

  it('is an error where it is another object by then, where the store sends all of it, and where nothing comes', async () => {
    const other = await cutting(4 * MIB, { etags: ['"1"', '"2"'] });
    await expect((await other.store.get('large'))?.digest()).rejects.toThrow('it was replaced or removed meanwhile');
    const whole = await cutting(4 * MIB, { knowsRanges: false });
    await expect((await whole.store.get('large'))?.digest()).rejects.toThrow('the store sends no part of an object');
    expect(whole.asked).toHaveLength(2);
    const silent = await cutting(0);
    await expect((await silent.store.get('large'))?.digest()).rejects.toThrow('aborted');
    expect(silent.asked).toHaveLength(4);
    for (const { stop } of [other, whole, silent]) stop();
  });
});

describe('a bucket that sends no more', () => {
  it.each([
    ['nothing', 0, 'AWS cannot be reached'],
    ['the head of an answer', 1, 'the store sent nothing for 0.2 seconds'],
    ['some of the bytes', 2, 'the store sent nothing for 0.2 seconds'],
  ])('is given up where it sends %s, and asked again before', async (_, sent, message) => {
    let asked = 0;
    const server = createServer(({ headers }, response) => {
      asked += 1;
      if (sent === 0) return;
      const [, from = '0'] = /^bytes=(\d+)-/.exec(headers.range ?? '') ?? [];
      const rest = { 'content-length': 9 - Number(from), 'content-range': `bytes ${from}-8/9`, etag: '"1"' };
      response.writeHead(206, rest).flushHeaders();
      if (sent === 2 && from === '0') response.write('1234');
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const store = openS3Store('s3://models', { endpoint, credentials: KEYS, waitMs: 200 });
    const parts: Uint8Array[] = [];
    const reading = async () => {
      for await (const part of (await store.read('key', { from: 0, to: 9 })) ?? []) parts.push(part);
    };
    await expect(reading()).rejects.toThrow(message);
    expect(asked).toBeGreaterThanOrEqual(3);
    expect(Buffer.concat(parts).toString()).toBe(sent === 2 ? '1234' : '');
    server.closeAllConnections();
    server.close();
  });

  it('may be read as slowly as its reader likes', async () => {
    const server = createServer((_, response) => {
      response.writeHead(206, { 'content-length': 4 * MIB, 'content-range': `bytes 0-${4 * MIB - 1}/${4 * MIB}` });
      response.end(Buffer.alloc(4 * MIB));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const store = openS3Store('s3://models', { endpoint, credentials: KEYS, waitMs: 200 });
    let read = 0;
    for await (const part of (await store.read('key', { from: 0, to: 4 * MIB })) ?? []) {
      if (read === 0) await new Promise((resolve) => setTimeout(resolve, 500));
      read += part.length;
    }
    expect(read).toBe(4 * MIB);
    server.close();
  });
});

describe('by the rules of S3', () => {
  let aws: AwsEmulator;
  let client: S3Client;
  beforeAll(async () => {
    aws = await startAws(tmpdir());
    client = new S3Client({ endpoint: aws.endpoint, region: 'auto', credentials: KEYS, forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: 'large' }));
  });
  afterAll(() => aws.stop());

  it('a large object is made of parts, under the same conditions as a small one', async () => {
    const store = openStore('s3://large', { endpoint: aws.endpoint, credentials: KEYS });
    expect(await store.put('key', LARGE, 'absent')).toBe(true);
    const { ETag } = await client.send(new HeadObjectCommand({ Bucket: 'large', Key: 'key' }));
    expect(ETag).toMatch(/-4"$/);
    const { etag = '' } = (await store.get('key')) ?? {};
    const written = await Promise.all(
      ['absent' as const, { etag }, { etag }].map((one) => store.put('key', LARGE, one)),
    );
    // Both bodies are the same, and so is their etag: either may come after the other.
    expect(written[0]).toBe(false);
    expect(await store.put('key', bodyOf(11), { etag })).toBe(true);
    expect(await store.put('key', LARGE, { etag })).toBe(false);
    expect(await (await store.get('key'))?.digest()).toBe(sha256Of(await bytesOf(bodyOf(11))));
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: 'large' }));
    expect(Uploads).toEqual([]);
  });
});

describe('keys in a secret', () => {
  const SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:registry';
  let account: AwsAccount;
  beforeAll(async () => {
    account = await startAccount();
    for (const [name, value] of Object.entries({ ...account.env, AWS_ENDPOINT_URL: '' })) vi.stubEnv(name, value);
    vi.stubEnv('AWS_ENDPOINT_URL_SECRETS_MANAGER', account.endpoint);
  });
  afterAll(() => {
    account.stop();
    vi.unstubAllEnvs();
  });
  afterEach(() => void vi.useRealTimers());
  const secretOf = ({ accessKeyId, secretAccessKey }: typeof KEYS) =>
    account.secrets.set(SECRET, JSON.stringify({ access_key_id: accessKeyId, secret_access_key: secretAccessKey }));

  it('are read again after some minutes, and kept where the secret cannot be read for a while', async () => {
    vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
    const keys = { ...KEYS, region: 'auto' };
    const bucket = await startBucket({ bucket: 'models', keys, store: folder });
    const store = openStore('s3://models', { endpoint: bucket.url, secret: SECRET });
    secretOf(KEYS);
    expect(await store.get('none')).toBeUndefined();
    Object.assign(keys, { accessKeyId: 'AKIDROTATED', secretAccessKey: 'another' });
    secretOf(keys);
    vi.setSystemTime(Date.now() + 6 * 60_000);
    expect(await store.get('none')).toBeUndefined();
    vi.setSystemTime(Date.now() + 6 * 60_000);
    account.stop();
    expect(await store.get('none')).toBeUndefined();
    bucket.stop();
  });
});
