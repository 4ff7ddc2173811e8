// Requests about bulk jobs on their way to the service that keeps them: HEAD, which the service does not know, forms, and errors.
import { expect, test } from 'vitest';
import { errorDocument } from '../../../../api/core/error-document.ts';
import { CoreError } from '../../../../api/core/errors.ts';
import { OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { appOf, tableModel } from '../table-model.ts';

const asked: string[] = [];
let isCancelled = false;
const { app } = appOf(await tableModel(), {
  async jobs(path, { method }) {
    asked.push(`${method} ${path}`);
    if (method !== 'GET') return Response.json({}, { status: 404 });
    if (!path.includes('/files/')) return Response.json({ id: 'job_1' });
    const cancel = () => {
      isCancelled = true;
    };
    return new Response(new ReadableStream({ cancel }));
  },
});
const head = (path: string) => app.request(path, { method: 'HEAD' });

test.each(['/v1/jobs', '/v1/jobs/job_1', '/v1/files', '/v1/batches/batch_1'])(
  'HEAD %s is answered as GET is',
  async (path) => {
    const response = await head(path);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await response.text()).toBe('');
    expect(asked.at(-1)).toBe(`GET ${path}`);
  },
);

test('HEAD of a file of a job says what it is, and reads none of it', async () => {
  const response = await head('/v1/jobs/job_1/files/part-0000.npy');
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/octet-stream']);
  expect([await response.text(), isCancelled]).toEqual(['', true]);
});

test.each(['GET', 'POST'])('an answer to %s that breaks off is a service that is not available', async (method) => {
  const headers = { 'content-type': 'application/json' };
  const { app: other } = appOf(await tableModel(), {
    async jobs() {
      const body = new ReadableStream({ start: (controller) => controller.error(new TypeError('Network lost')) });
      return new Response(body, { headers });
    },
  });
  const init = { method, headers, ...(method === 'POST' ? { body: '{"input":{"file_id":"file_1"}}' } : {}) };
  const response = await other.request('/v1/jobs', init);
  const said = ['retry-after', 'x-should-retry'].map((name) => response.headers.get(name));
  expect([response.status, ...said]).toEqual([503, '1', null]);
  expect(ErrorBody.parse(await response.json()).detail).toMatch(/\(Network lost\)\. Ask again, with the same Idem/);
});

test.each([
  ['quota_exceeded', undefined, null],
  ['overloaded', 7, '7'],
  ['overloaded', undefined, '1'],
] as const)('%s is passed on with %s seconds, its field and its item', async (code, seconds, header) => {
  const thrown = new CoreError(code, 'No.', { param: 'input.items.3', item: 3, retryAfterSeconds: seconds });
  const { status, body } = errorDocument(thrown, 'theirs');
  const { app: other } = appOf(await tableModel(), { jobs: async () => Response.json(body, { status }) });
  const response = await other.request('/v1/jobs');
  expect([response.status, response.headers.get('retry-after')]).toEqual([429, header]);
  expect(ErrorBody.parse(await response.json())).toMatchObject({ code, item: 3, error: { param: 'input.items.3' } });
});

test.each([
  ['/v1/files', 'file', { purpose: 'batch' }],
  ['/v1/uploads/upload_1/parts', 'data', {}],
])('a form to %s with two files is refused, so that none is lost', async (path, field, others) => {
  const form = new FormData();
  for (const [name, value] of Object.entries(others)) form.append(name, value);
  for (const text of ['first', 'second']) form.append(field, new Blob([text]), `${text}.jsonl`);
  const before = asked.length;
  const response = await app.request(path, { method: 'POST', body: form });
  const { error } = OpenAiError.parse(await response.json());
  expect([response.status, error.code, error.param, asked.length]).toEqual([400, 'invalid_request', field, before]);
});

test.each([
  ['/v1/files', '-F purpose=batch -F file=@FILE'],
  ['/v1/uploads/upload_1/parts', '-F data=@FILE'],
])('JSON to %s is told which form would be taken', async (path, how) => {
  const headers = { 'content-type': 'application/json' };
  const response = await app.request(path, { method: 'POST', headers, body: '{}' });
  const { error } = OpenAiError.parse(await response.json());
  expect([response.status, error.message]).toEqual([415, expect.stringMatching(new RegExp(` With curl: ${how}$`))]);
});
