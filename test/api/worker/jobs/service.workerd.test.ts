// Files of bulk jobs as their readers download them from a bucket: with a length, whole or a range of them, once or not again.
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { openR2Store } from '../../../../api/registry/stores/r2.ts';
import { openBucket } from '../../../../api/worker/jobs/bucket.ts';
import { askHere, createBatchService } from '../../../../api/worker/jobs/service.ts';
import { OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import { appOf, tableModel } from '../table-model.ts';

const LINE = '{"custom_id":"a","text":"a dog"}\n';
const WHOLE = LINE.repeat(3);
const SIZE = WHOLE.length;
const store = openR2Store((env as { MODELS: R2Bucket }).MODELS);
const absent = () => Promise.reject(new Error('nothing is embedded here'));
const batch = { kinds: [], submit: absent, find: absent, describe: absent, failedChildren: absent, terminate: absent };
const service = createBatchService({ store, batch, current: absent, background: () => {} });
const { app } = appOf(await tableModel(), { jobs: askHere(service) });

async function send<T>(path: string, body: FormData | object): Promise<T> {
  const isForm = body instanceof FormData;
  const response = await app.request(path, {
    method: 'POST',
    ...(isForm ? { body } : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  expect(response.status).toBe(200);
  return response.json();
}
const form = (field: string, text: string, more: Record<string, string> = {}) => {
  const fields = new FormData();
  for (const [name, value] of Object.entries(more)) fields.set(name, value);
  fields.set(field, new Blob([text]), 'lines.jsonl');
  return fields;
};

/** The same bytes, sent at once and in three parts. */
const files: Record<string, string> = {};
beforeAll(async () => {
  files.whole = (await send<{ id: string }>('/v1/files', form('file', WHOLE, { purpose: 'batch' }))).id;
  const begun = { filename: 'lines.jsonl', purpose: 'batch', bytes: SIZE, mime_type: 'application/jsonl' };
  const upload = await send<{ id: string }>('/v1/uploads', begun);
  const part_ids: string[] = [];
  for (let part = 0; part < 3; part++)
    part_ids.push((await send<{ id: string }>(`/v1/uploads/${upload.id}/parts`, form('data', LINE))).id);
  const { file } = await send<{ file: { id: string } }>(`/v1/uploads/${upload.id}/complete`, { part_ids });
  files.parts = file.id;
});

describe.each(['whole', 'parts'])('a file that was sent in its %s', (kind) => {
  const get = (headers: Record<string, string> = {}, method = 'GET') =>
    app.request(`/v1/files/${files[kind]}/content`, { method, headers });
  const said = ({ status, headers }: Response) => ({
    status,
    length: headers.get('content-length'),
    range: headers.get('content-range'),
  });

  test('says how long it is and that it may be had in ranges', async () => {
    for (const method of ['GET', 'HEAD']) {
      const response = await get({}, method);
      expect(said(response)).toEqual({ status: 200, length: String(SIZE), range: null });
      expect(response.headers.get('accept-ranges')).toBe('bytes');
      expect(response.headers.get('etag')).toMatch(/^"[\w:-]+"$/);
      expect(await response.text()).toBe(method === 'GET' ? WHOLE : '');
    }
  });

  test.each([
    ['bytes=0-0', 0, 0],
    ['bytes=30-35', 30, 35],
    ['bytes=20-80', 20, 80],
    [`bytes=${SIZE - 1}-`, SIZE - 1, SIZE - 1],
    ['bytes=40-', 40, SIZE - 1],
    ['bytes=-7', SIZE - 7, SIZE - 1],
    ['bytes=-5000', 0, SIZE - 1],
    ['Bytes=33-5000', 33, SIZE - 1],
  ])('answers %s with these bytes', async (range, first, last) => {
    const response = await get({ range });
    expect(said(response)).toEqual({
      status: 206,
      length: String(last - first + 1),
      range: `bytes ${first}-${last}/${SIZE}`,
    });
    expect(await response.text()).toBe(WHOLE.slice(first, last + 1));
  });

  test.each([`bytes=${SIZE}-`, 'bytes=5000-6000', 'bytes=-0'])('says of %s how long it is', async (range) => {
    const response = await get({ range });
    expect([response.status, response.headers.get('content-range')]).toEqual([416, `bytes */${SIZE}`]);
    expect(OpenAiError.parse(await response.json()).error.code).toBe('range_not_satisfiable');
  });

  test.each(['bytes=7-3', 'lines=1-2', 'bytes=', 'bytes=1-2,4-5', 'bytes=a-b'])('is whole for %s', async (range) => {
    const response = await get({ range });
    expect([response.status, await response.text()]).toEqual([200, WHOLE]);
  });

  test('takes white space in a range, and is whole for one of nothing else', async () => {
    expect(said(await get({ range: 'bytes = 30 - 35' })).range).toBe(`bytes 30-35/${SIZE}`);
    const blanks = ' '.repeat(8000);
    expect((await get({ range: `bytes=${blanks}-${blanks}x` })).status).toBe(200);
  });

  test('goes on only for who has its beginning, and is not sent again to who has it all', async () => {
    const etag = (await get({}, 'HEAD')).headers.get('etag') ?? '';
    const range = 'bytes=40-';
    expect((await get({ range, 'if-range': etag })).status).toBe(206);
    for (const other of [`W/${etag}`, '"another"', 'Sat, 28 Nov 2026 00:00:00 GMT']) {
      const response = await get({ range, 'if-range': other });
      expect([response.status, await response.text()], other).toEqual([200, WHOLE]);
    }
    for (const condition of [etag, `"another", W/${etag}`, '*']) {
      const response = await get({ range, 'if-none-match': condition });
      expect([response.status, response.headers.get('etag'), await response.text()], condition).toEqual([
        304,
        etag,
        '',
      ]);
    }
    expect((await get({ 'if-none-match': '"another"' })).status).toBe(200);
    expect((await get({ range }, 'HEAD')).status).toBe(200);
  });
});

test('files of equal length have tags of their own', async () => {
  const tags = Object.values(files).map(async (id) =>
    (await app.request(`/v1/files/${id}/content`)).headers.get('etag'),
  );
  expect(new Set(await Promise.all(tags)).size).toBe(2);
});

test('a file whose first bytes break off in S3 can be asked for again', async () => {
  const keys = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' });
  const { read } = openBucket({ uri: 's3://jobs', region: 'eu-central-1', keys });
  const breaking = createBatchService({ store: { ...store, read }, batch, current: absent, background: () => {} });
  const { app: other } = appOf(await tableModel(), { jobs: askHere(breaking) });
  const broken = new ReadableStream({ start: (controller) => controller.error(new TypeError('Network lost')) });
  vi.stubGlobal('fetch', async () => new Response(broken, { status: 206 }));
  const response = await other.request(`/v1/files/${files.whole}/content`);
  vi.unstubAllGlobals();
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
  expect(OpenAiError.parse(await response.json()).error.code).toBe('encoder_unavailable');
});
