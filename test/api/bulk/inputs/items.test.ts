// Items of a shard whose files are in a bucket: what S3 keeps back of one object is that item's error, and what is not read is not open.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { packTar } from 'modern-tar';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type BulkItem, itemsOf } from '../../../../api/bulk/inputs/items.ts';
import { openSources } from '../../../../api/bulk/places.ts';

/** By key, the answers of S3 to GetObject: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
const ANSWERS: Readonly<Record<string, [status: number, code: string, message: string]>> = {
  'denied.png': [403, 'AccessDenied', 'User: arn:aws:sts::123456789012:assumed-role/shard is not authorized'],
  'archived.png': [403, 'InvalidObjectState', "The operation is not valid for the object's storage class"],
  'encrypted.png': [400, 'KMS.DisabledException', 'arn:aws:kms:us-east-1:123456789012:key/1 is disabled.'],
  'expired.png': [400, 'ExpiredToken', 'The provided token has expired.'],
  'unknown.png': [403, 'InvalidAccessKeyId', 'The AWS Access Key Id you provided does not exist in our records.'],
};

/** More than a connection holds by itself. */
const LARGE = 32 * 2 ** 20;
/** Large objects that were asked for, and those of them whose answer was neither read to its end nor broken off. */
const asked: string[] = [];
let open = 0;

const s3 = createServer((request, response) => {
  const key = new URL(request.url ?? '', 'http://s3').pathname.replace('/photos/', '');
  if (/\.(mp4|tar)$/.test(key)) {
    asked.push(key);
    open += 1;
    response.once('close', () => {
      open -= 1;
      s3.emit('ended');
    });
    response.writeHead(200, { etag: '"1"', 'content-length': LARGE });
    return void response.end(key.endsWith('.tar') ? tar : new Uint8Array(LARGE));
  }
  const [status, code, message] = ANSWERS[key] ?? [200, '', ''];
  response.writeHead(status, { etag: '"1"', 'content-type': status === 200 ? 'image/png' : 'application/xml' });
  response.end(status === 200 ? 'a picture' : `<Error><Code>${code}</Code><Message>${message}</Message></Error>`);
});
let tar: Uint8Array;
beforeAll(async () => {
  const picture = { header: { name: 'a.png', size: 3 }, body: 'abc' };
  const members = [picture, { header: { name: 'rest.bin', size: LARGE }, body: new Uint8Array(LARGE) }];
  tar = (await packTar(members)).subarray(0, LARGE);
  await new Promise<void>((done) => s3.listen(0, '127.0.0.1', done));
  vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${(s3.address() as AddressInfo).port}`);
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, 'testing');
  vi.stubEnv('AWS_REGION', 'us-east-1');
});
afterAll(() => {
  vi.unstubAllEnvs();
  s3.close();
});

function itemsIn(lines: object[], hasVideos = false): AsyncGenerator<BulkItem> {
  async function* written(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
  const sources = openSources({ input: { prefix: 's3://photos' }, sources: [] });
  return itemsOf(written(), { sources, hasVideos });
}
async function read(...lines: object[]) {
  const found: [string | null, string][] = [];
  for await (const { custom_id, content } of itemsIn(lines))
    found.push([custom_id, 'message' in content ? `${content.code}: ${content.message}` : 'read']);
  return found;
}
const image = (name: string) => ({ custom_id: name, path: `${name}.png` });

it('go on behind an object that is denied, archived or encrypted with a key of somebody else', async () => {
  const tar = { custom_id: 'tar', tar: 's3://photos/denied.png' };
  const found = await read(image('a'), image('denied'), image('archived'), image('encrypted'), tar, image('b'));
  expect(found).toEqual([
    ['a', 'read'],
    ['denied', 'not_found: the file cannot be read: the store denies access to it.'],
    ['archived', 'not_found: the file cannot be read: it is archived: restore it first.'],
    ['encrypted', 'not_found: the file cannot be read: the key that it is encrypted with cannot be used.'],
    ['tar', 'not_found: the file cannot be read: the store denies access to it.'],
    ['b', 'read'],
  ]);
});

it('stop where the credentials are the reason: no image is blamed for them', async () => {
  await expect(read(image('a'), image('expired'))).rejects.toThrow(/credentials have expired/);
  await expect(read(image('a'), image('unknown'))).rejects.toThrow(/does not know these credentials/);
});

/** More than the connections that the SDK has. */
const VIDEOS = Array.from({ length: 60 }, (_, at) => ({ custom_id: `${at}`, video: `${at}.mp4` }));

it('ask for no video where the job reads none, however many lines name one', async () => {
  const before = asked.length;
  const found = await read(...VIDEOS, image('a'));
  expect(found).toHaveLength(61);
  expect(found[59]).toEqual(['59', expect.stringMatching(/^invalid_request: the job reads no videos/)]);
  expect(found[60]).toEqual(['a', 'read']);
  expect(asked.length - before).toBe(0);
});

it('ask for a video when its turn has come, and for no other before', async () => {
  const before = asked.length;
  const items = itemsIn(VIDEOS.slice(0, 12), true);
  const opened: string[] = [];
  for await (const { custom_id, content } of items) {
    if (!('openVideo' in content)) throw new Error('no video');
    const video = await content.openVideo();
    expect(video.size).toBe(LARGE);
    opened.push(`${custom_id}.mp4`);
    expect(asked.slice(before)).toEqual(opened);
    const ended = once(s3, 'ended');
    video.close();
    await ended;
    expect(open).toBe(0);
  }
  expect(opened).toHaveLength(12);
});

it('leave a tar behind that nobody reads on', async () => {
  const ended = once(s3, 'ended');
  for await (const { custom_id } of itemsIn([{ custom_id: 'set', tar: 's3://photos/set.tar' }])) {
    expect([custom_id, open]).toEqual(['set/a.png', 1]);
    break;
  }
  await ended;
  expect(open).toBe(0);
});
