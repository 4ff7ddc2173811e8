// The bucket of bulk jobs as the Worker reads it: names of files as S3 lists them, some of the bytes of one; and answers of AWS that break off.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test, vi } from 'vitest';
import { createBatchClient } from '../../../../api/worker/jobs/batch.ts';
import { openBucket } from '../../../../api/worker/jobs/bucket.ts';

afterEach(() => vi.unstubAllGlobals());

test('names are those that S3 writes as a form does, with a plus for a space', async () => {
  const listed = ['my+cat+%281%29.jpg', 'a%2Bb.jpg', '100%25.jpg', '%C3%BC/%26.jpg'];
  const contents = listed.map((key) => `<Contents><Key>${key}</Key><Size>3</Size></Contents>`).join('');
  const asked: string[] = [];
  vi.stubGlobal('fetch', async ({ url }: Request) => {
    asked.push(url);
    return new Response(`<ListBucketResult>${contents}</ListBucketResult>`);
  });
  const keys = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' });
  const found = await openBucket({ uri: 's3://photos', region: 'eu-central-1', keys }).list('');
  expect(found.map(({ key }) => key)).toEqual(['my cat (1).jpg', 'a+b.jpg', '100%.jpg', '\u00fc/&.jpg']);
  expect(asked).toEqual([expect.stringContaining('encoding-type=url')]);
});

test('some bytes of a file are asked for alone, signed like everything else', async () => {
  const asked: Headers[] = [];
  vi.stubGlobal('fetch', async ({ headers }: Request) => {
    asked.push(headers);
    return new Response('3456', { status: 206 });
  });
  const keys = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' });
  const bucket = openBucket({ uri: 's3://photos', region: 'eu-central-1', keys });
  const found = (await bucket.read('cat.jpg', { from: 3, to: 7 })) ?? [];
  const parts: Uint8Array[] = [];
  for await (const part of found) parts.push(part);
  expect(Buffer.concat(parts).toString()).toBe('3456');
  expect(asked[0]?.get('range')).toBe('bytes=3-6');
  expect(asked[0]?.get('authorization')).toMatch(/^AWS4-HMAC-SHA256 .*SignedHeaders=[^,]*\brange\b/);
});

test('an answer that breaks off is a store that is not available', async () => {
  const keys = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' });
  const bucket = openBucket({ uri: 's3://photos', region: 'eu-central-1', keys });
  const breaking = async function* () {
    yield new TextEncoder().encode('12');
    throw new TypeError('terminated');
  };
  const answer = (status: number) => async () => new Response(breaking() as unknown as ReadableStream, { status });
  const unavailable = { code: 'encoder_unavailable', message: expect.stringContaining('(terminated)') };
  vi.stubGlobal('fetch', answer(200));
  await expect(bucket.list('')).rejects.toMatchObject(unavailable);
  const [whole, pieces] = [await bucket.get('cat.jpg'), await bucket.get('cat.jpg')];
  await expect(whole?.text()).rejects.toMatchObject(unavailable);
  const reading = async () => {
    for await (const piece of pieces?.stream() ?? []) expect(piece).toHaveLength(2);
  };
  await expect(reading()).rejects.toMatchObject(unavailable);
  const some = async () => {
    for await (const piece of (await bucket.read('cat.jpg', { from: 0, to: 4 })) ?? []) expect(piece).toHaveLength(2);
  };
  await expect(some()).rejects.toMatchObject(unavailable);
  for (const status of [403, 404]) {
    vi.stubGlobal('fetch', answer(status));
    await expect(bucket.get('cat.jpg')).rejects.toMatchObject(unavailable);
  }
});

test('an answer of Batch that breaks off is a refusal that can be asked again', async () => {
  const place = { queue: 'arn:aws:batch:eu-central-1:1:job-queue/q', definition: 'arn:aws:batch:eu-central-1:1:d' };
  const keys = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' });
  const body = new ReadableStream({ start: (controller) => controller.error(new TypeError('terminated')) });
  vi.stubGlobal('fetch', async () => new Response(body));
  await expect(createBatchClient({ places: { cpu: place }, keys }).describe('job')).rejects.toMatchObject({
    code: 'encoder_unavailable',
    message: expect.stringContaining('describejobs (terminated)'),
  });
});

test('a download may take longer than a call, which waits for the beginning and for each piece', async () => {
  const keys = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' });
  const bucket = openBucket({ uri: 's3://photos', region: 'eu-central-1', keys, callMs: 400 });
  const slowly = async function* (signal: AbortSignal) {
    for (const part of ['12', '34', '56']) {
      await wait(150, undefined, { signal });
      yield new TextEncoder().encode(part);
    }
  };
  vi.stubGlobal('fetch', async ({ signal }: Request) => new Response(slowly(signal) as unknown as ReadableStream));
  const parts: Uint8Array[] = [];
  for await (const part of (await bucket.read('cat.jpg', { from: 0, to: 6 })) ?? []) {
    parts.push(part);
    // Whoever reads may take any time.
    if (parts.length === 1) await wait(500);
  }
  expect(Buffer.concat(parts).toString()).toBe('123456');
  vi.stubGlobal('fetch', ({ signal }: Request) => wait(5_000, undefined, { signal }));
  await expect(bucket.read('cat.jpg', { from: 0, to: 4 })).rejects.toMatchObject({ code: 'encoder_unavailable' });
});

test.each(['nothing', 'the head of an answer', 'some of the bytes'])(
  'S3 that sends %s and no more is not available',
  async (sent) => {
    const server = createServer((_, response) => {
      if (sent === 'nothing') return;
      response.writeHead(206, { 'content-length': '4' }).flushHeaders();
      if (sent === 'some of the bytes') response.write('12');
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const keys = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' });
    const bucket = openBucket({ uri: 's3://photos', region: 'eu-central-1', endpoint, keys, callMs: 300 });
    const reading = async () => {
      const pieces = (await bucket.read('cat.jpg', { from: 0, to: 4 })) ?? [];
      for await (const piece of pieces) expect(piece).toHaveLength(2);
    };
    const read = expect(reading()).rejects.toMatchObject({
      code: 'encoder_unavailable',
      message: expect.stringContaining('(S3 does not answer)'),
    });
    // Node.js loses the signal of a request by then.
    await wait(100);
    collectGarbage();
    await read;
    server.closeAllConnections();
    server.close();
  },
);

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}
