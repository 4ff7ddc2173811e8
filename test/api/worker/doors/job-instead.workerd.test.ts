// Requests that become bulk jobs, as their callers see it: which of them do, what the job is asked to do, and who pays for it.
import { beforeEach, describe, expect, test } from 'vitest';
import { createLimits } from '../../../../api/worker/access/limits.ts';
import { createImageRouter } from '../../../../api/worker/images/router.ts';
import { createAdmission } from '../../../../api/worker/middleware/admission.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { LIMITS } from '../../../../contracts/src/api/limits.ts';
import { EmbedJob, type JobReport, JobRequest } from '../../../../contracts/src/api/tasks/jobs.ts';
import { LEFT_HEADERS } from '../../../../contracts/src/bulk/quota.ts';
import { accessBy, keyNamespace } from '../key-namespace.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const source = await tableModel();
const MANY = LIMITS.images + 1;
const ENCODER = 'http://encoder.invalid';
const GIF = new Uint8Array([...'GIF89a\x05\0\x05\0'].map((letter) => letter.charCodeAt(0)));
const IMAGE = { image: btoa(String.fromCharCode(...GIF)) };

const REPORT: JobReport = {
  id: 'job_00112233445566778899aabb',
  object: 'job',
  status: 'validating',
  created_at: 1795780800,
  in_progress_at: null,
  ended_at: null,
  expires_at: 1795867200,
  request_counts: { total: null, completed: 0, failed: 0 },
  shards: { total: null, done: 0 },
  error: null,
  machine: null,
  estimate: null,
  model: { id: STATIC, version: '1', space_id: `sha256:${'b'.repeat(64)}`, manifest: null },
  output: { formats: ['jsonl'], type: 'float32', dimensions: 4 },
  files: [],
};

/** What the service of jobs was asked. */
let asked: { path: string; body: JobRequest; headers: Headers }[] = [];
/** 200: under its key the job was there already. */
let answers = 201;
/** What the service counted of a job that was begun. */
let counted: Record<string, string> = {};
beforeEach(() => {
  asked = [];
  answers = 201;
  counted = {};
});

async function jobs(path: string, { headers, body }: RequestInit): Promise<Response> {
  asked.push({ path, body: JobRequest.parse(JSON.parse(String(body))), headers: new Headers(headers) });
  return Response.json(REPORT, { status: answers, headers: counted });
}

type Parts = NonNullable<Parameters<typeof appOf>[1]>;

function service(parts: Parts = { jobs }, status = 503) {
  const send = async () => new Response('the platform', { status });
  const { encode: images, route: routeImages } = createImageRouter({ lambda_cpu: ENCODER }, { send });
  const { app } = appOf(source, { images, routeImages, ...parts });
  return (path: string, body: object | FormData, headers: Record<string, string> = {}) =>
    app.request(path, {
      method: 'POST',
      ...(body instanceof FormData
        ? { body, headers }
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } }),
    });
}

const refusal = async (response: Response) => {
  const { code, detail, error } = ErrorBody.parse(await response.json());
  return { status: response.status, code, detail, param: error.param };
};

describe('a request becomes a job', () => {
  test('where its images are too many to be encoded while it waits', async () => {
    const input = ['a dog', { text: 'a jacket', ...IMAGE }, ...Array(MANY - 1).fill(IMAGE)];
    const response = await service()(
      '/embed',
      { input, model: STATIC, types: ['int8'] },
      { 'idempotency-key': 'monday' },
    );
    expect(response.status).toBe(202);
    const job = EmbedJob.parse(await response.json());
    expect([job.id, job.routing]).toEqual([REPORT.id, { route: 'batch', reason: 'too_many' }]);
    expect(response.headers.get('location')).toBe(`/v1/jobs/${REPORT.id}`);
    expect(response.headers.get('x-image-route')).toBe('batch; reason="too_many"');
    expect(response.headers.has('preference-applied')).toBe(false);
    const [{ path, body, headers } = { path: '', body: undefined, headers: new Headers() }] = asked;
    expect([path, headers.get('idempotency-key')]).toEqual(['/v1/jobs', 'monday']);
    expect(body).toMatchObject({ type: 'int8', model: STATIC });
    const { items } = (body?.input ?? {}) as { items: object[] };
    expect(items).toHaveLength(MANY + 1);
    expect(items.slice(0, 3)).toEqual([
      { custom_id: '0', text: 'a dog' },
      { custom_id: '1', content: [{ text: 'a jacket' }, IMAGE] },
      { custom_id: '2', ...IMAGE },
    ]);
  });

  test.each([
    ['/embed', { input: ['a dog', IMAGE] }],
    ['/v1/embeddings', { input: [{ text: 'a dog' }, IMAGE] }],
  ])('at %s, where that is preferred', async (path, body) => {
    const response = await service()(path, body, { prefer: 'respond-async' });
    expect([response.status, response.headers.get('preference-applied')]).toEqual([202, 'respond-async']);
    expect(EmbedJob.parse(await response.json()).routing).toEqual({ route: 'batch', reason: 'asked' });
    const expected = [
      { custom_id: '0', text: 'a dog' },
      { custom_id: '1', ...IMAGE },
    ];
    expect(asked.map(({ body }) => body)).toEqual([{ input: { items: expected }, type: 'float32' }]);
  });

  test('in which a file without bytes is a line as others are, for the job to say so', async () => {
    const form = new FormData();
    for (let file = 0; file < MANY; file++) form.append('image', new Blob(file === 20 ? [] : [GIF]));
    expect((await service()('/embed', form)).status).toBe(202);
    const { items } = (asked[0]?.body.input ?? {}) as { items: object[] };
    expect(items.slice(19, 22)).toEqual([
      { custom_id: '19', ...IMAGE },
      { custom_id: '20', image: '' },
      { custom_id: '21', ...IMAGE },
    ]);
  });

  test('of a form, too, whose files are sent on as base64', async () => {
    const form = new FormData();
    form.append('image', new Blob([GIF]));
    form.append('types', 'ubinary');
    expect((await service()('/embed', form, { prefer: 'respond-async' })).status).toBe(202);
    expect(asked.map(({ body }) => body)).toEqual([
      { input: { items: [{ custom_id: '0', ...IMAGE }] }, type: 'binary' },
    ]);
  });

  test('of uploads, which the job reads by itself where it can', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const read = async () => GIF;
    const presign = () => Promise.reject(new Error('nobody asks'));
    const input = [{ image: `upload:${digest}` }, { text: 'a dog', image: `upload:${digest}` }];
    const prefer = { prefer: 'respond-async' };
    const jobUri = (named: string) => `s3://bucket/${named}`;
    await service({ jobs, uploads: { read, presign, jobUri } })('/embed', { input }, prefer);
    await service({ jobs, uploads: { read, presign } })('/embed', { input }, prefer);
    const fused = { custom_id: '1', content: [{ text: 'a dog' }, IMAGE] };
    expect(asked.map(({ body }) => body.input)).toEqual([
      { items: [{ custom_id: '0', uri: `s3://bucket/${digest}` }, fused] },
      { items: [{ custom_id: '0', ...IMAGE }, fused] },
    ]);
  });

  test('while there is too much to compute for an answer, where that is preferred', async () => {
    const admission = createAdmission({ waitMs: 0, patience: 0 });
    void admission(new AbortController().signal)({ kind: 'student', size: 1000 }, () => new Promise(() => {}));
    const prefer = { prefer: 'respond-async' };
    expect((await service({ jobs, admission })('/embed', { input: 'a dog' }, prefer)).status).toBe(202);
    // Where it could be answered at once only, and where there are no jobs.
    expect((await service({ jobs, admission })('/embed', { input: 'a dog' })).status).toBe(429);
    expect((await service({ admission })('/embed', { input: 'a dog' }, prefer)).status).toBe(429);
  });

  test('where no encoder answers, and its caller would rather have one than wait', async () => {
    const ask = service();
    for (let times = 0; times < 5; times++) expect((await ask('/embed', { input: IMAGE })).status).toBe(503);
    expect((await ask('/embed', { input: IMAGE })).status).toBe(503);
    const response = await ask('/embed', { input: IMAGE }, { prefer: 'respond-async, wait=20' });
    expect(EmbedJob.parse(await response.json()).routing).toEqual({ route: 'batch', reason: 'all_pause' });
  });
});

describe('a request becomes no job', () => {
  test.each([
    ['that is small, and may be answered later', { input: IMAGE }, 'respond-async, wait=20', 503],
    ['of a text, which needs no encoder', { input: 'dog', model: STATIC }, 'respond-async, wait=1', 200],
    ["whose caller expects OpenAI's answer", { path: '/v1/embeddings', input: Array(MANY).fill(IMAGE) }, '', 422],
    ['that is a dry run', { path: '/embed?dry_run=1', input: 'dog', model: STATIC }, 'respond-async', 200],
  ])('%s', async (_, { path = '/embed', ...body }: { path?: string; input: unknown }, prefer, status) => {
    const response = await service()(path, body, prefer === '' ? {} : { prefer });
    expect(response.status).toBe(status);
    expect(asked).toEqual([]);
  });

  test('where there are none: the refusal says so', async () => {
    const refused = await refusal(await service({})('/embed', { input: Array(MANY).fill(IMAGE) }));
    expect(refused).toMatchObject({ status: 422, code: 'too_many_items', param: 'input' });
    expect(refused.detail).toContain('not configured here');
  });

  test('of which an item has more parts than a line may have, by its place', async () => {
    const content = (parts: number) => ({ content: [IMAGE, ...Array(parts - 1).fill({ text: 'a dog' })] });
    const ask = (parts: number) =>
      service()('/embed', { input: ['a dog', content(parts)] }, { prefer: 'respond-async' });
    expect((await ask(32)).status).toBe(202);
    asked = [];
    const refused = await refusal(await ask(33));
    expect(refused).toMatchObject({ status: 422, code: 'too_many_items', param: 'input.1.content' });
    expect(refused.detail).toContain('32');
    expect(asked).toEqual([]);
  });

  test.each([
    [{ types: ['float', 'int8'] }, 'types'],
    [{ types: ['uint8'] }, 'types'],
    [{ truncate: 'none' }, 'truncate'],
  ])('of which it could not do what is asked: %j', async (options, param) => {
    const refused = await refusal(await service()('/embed', { input: IMAGE, ...options }, { prefer: 'respond-async' }));
    expect(refused).toMatchObject({ status: 400, param });
    expect(asked).toEqual([]);
  });
});

describe('a key', () => {
  const settled: object[] = [];
  const namespace = keyNamespace();
  const allowance = (limit: number | null) => ({ limit, used: 0, resetMs: 1000 });
  const limits = createLimits({
    background: () => {},
    counterOf: () => ({
      async reserve({ rate, quota }) {
        const requests = allowance(rate.requests_per_minute);
        const [tokens, images] = [allowance(quota.tokens_per_month), allowance(quota.images_per_month)];
        return { isAllowed: true, requests, tokens, images };
      },
      settle: async (used) => void settled.push(used),
    }),
  });
  const ask = service({ jobs, access: accessBy(namespace, limits) });
  const many = { input: Array(MANY).fill(IMAGE) };
  const keyFor = async (scopes: ('embed' | 'jobs')[], images: number | null = null) => {
    const quota = { tokens_per_month: null, images_per_month: images };
    return { authorization: `Bearer ${await namespace.add({ scopes, quota })}` };
  };
  beforeEach(() => {
    settled.length = 0;
  });

  test('that is not good for jobs begins none', async () => {
    const refused = await refusal(await ask('/embed', many, await keyFor(['embed'])));
    expect(refused).toMatchObject({ status: 422, code: 'too_many_items' });
    expect(refused.detail).toContain('good for jobs');
    expect(asked).toEqual([]);
  });

  test('pays for the images of a job once, when it is begun', async () => {
    const headers = await keyFor(['embed', 'jobs'], MANY);
    expect((await ask('/embed', many, headers)).status).toBe(202);
    expect(settled).toEqual([{ tokens: 0, images: MANY }]);
    answers = 200;
    expect((await ask('/embed', many, headers)).status).toBe(202);
    expect(settled).toHaveLength(1);
    expect(asked[0]?.headers.get('x-owner')).toMatch(/^ec_/);
  });

  test('tells the service what it may still ask for, and pays for what that has counted in files', async () => {
    const headers = await keyFor(['embed', 'jobs'], 5000);
    counted = { 'x-job-images': '4000', 'x-job-tokens': '12' };
    const body = { input: { file_id: 'file_00112233445566778899aabb' } };
    expect((await ask('/v1/jobs', body, headers)).status).toBe(200);
    const [sent] = asked;
    expect([sent?.headers.get('x-images-left'), sent?.headers.get('x-tokens-left')]).toEqual(['5000', null]);
    expect(settled).toEqual([{ tokens: 12, images: 4000 }]);
    // What is inside the request counts once, too.
    counted = { 'x-job-images': String(MANY), 'x-job-tokens': '0' };
    await ask('/embed', many, headers);
    expect(settled.at(-1)).toEqual({ tokens: 0, images: MANY });
  });

  test('pays nothing for a dry run, which needs no images left', async () => {
    const headers = await keyFor(['jobs'], 0);
    const body = { input: { items: [{ custom_id: 'a', ...IMAGE }] } };
    const response = await ask('/v1/jobs?dry_run=1', body, headers);
    expect([response.status, asked.map(({ path }) => path), settled]).toEqual([200, ['/v1/jobs?dry_run=1'], []]);
    expect((await refusal(await ask('/v1/jobs?dry_run=no', body, headers))).param).toBe('dry_run');
  });

  test('is given back what a job that ended early had not done', async () => {
    const returned = { 'x-job-images-returned': '7', 'x-job-tokens-returned': '3' };
    const ends = service({
      jobs: async () => Response.json(REPORT, { headers: returned }),
      access: accessBy(namespace, limits),
    });
    const headers = await keyFor(['jobs'], 100);
    expect((await ends(`/v1/batches/${REPORT.id}/cancel`, {}, headers)).status).toBe(200);
    expect(settled).toEqual([{ tokens: -3, images: -7 }]);
  });

  test.each(['/embed', '/v1/jobs'])('with fewer images left begins none at %s', async (path) => {
    const items = Array(MANY).fill({ custom_id: 'a', ...IMAGE });
    const body = path === '/embed' ? many : { input: { items } };
    const refused = await refusal(await ask(path, body, await keyFor(['embed', 'jobs'], MANY - 1)));
    expect(refused).toMatchObject({ status: 429, code: 'quota_exceeded' });
    expect([asked, settled]).toEqual([[], []]);
  });

  test('is asked again under its key with nothing left, since it may be there already', async () => {
    answers = 200;
    const headers = { ...(await keyFor(['jobs'], MANY - 1)), 'idempotency-key': 'monday' };
    const response = await ask(
      '/v1/jobs',
      { input: { items: Array(MANY).fill({ custom_id: 'a', ...IMAGE }) } },
      headers,
    );
    expect([response.status, asked.length, settled]).toEqual([200, 1, []]);
    // The service refuses a new one: it is told what is left.
    expect(asked[0]?.headers.get(LEFT_HEADERS.images)).toBe(String(MANY - 1));
  });
});
