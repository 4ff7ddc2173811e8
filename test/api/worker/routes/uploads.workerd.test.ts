// One path for two kinds of uploads: which key is good for which, and in whose form each is refused.
import { describe, expect, test } from 'vitest';
import type { Dependencies } from '../../../../api/worker/dependencies.ts';
import { OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import { PartialEmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import type { Scope } from '../../../../contracts/src/api/operation.ts';
import { accessBy, keyNamespace } from '../key-namespace.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const IMAGE = { digest: `sha256:${'a'.repeat(64)}`, bytes: 3 };
const LINES = { filename: 'requests.jsonl', purpose: 'batch', bytes: 20_000_000, mime_type: 'application/jsonl' };

const namespace = keyNamespace();
const asked: string[] = [];
const { app } = appOf(await tableModel(), {
  access: accessBy(namespace),
  async jobs(path, { body }) {
    asked.push(`${path} ${body}`);
    return Response.json({});
  },
});

async function post(body: object, scopes: Scope[]): Promise<Response> {
  const authorization = `Bearer ${await namespace.add({ scopes })}`;
  const headers = { 'content-type': 'application/json', authorization };
  return app.request('/v1/uploads', { method: 'POST', headers, body: JSON.stringify(body) });
}

test('a key that is good for jobs alone begins a file in parts, and no image', async () => {
  expect((await post(LINES, ['jobs'])).status).toBe(200);
  expect(asked).toEqual([`/v1/uploads ${JSON.stringify(LINES)}`]);
  const refused = ErrorBody.parse(await (await post(IMAGE, ['jobs'])).json());
  expect([refused.code, refused.detail]).toEqual(['forbidden', expect.stringContaining('good for embed')]);
});

test('a key that is good for embedding alone may put an image, and begins no file in parts', async () => {
  // There is no store of uploads here, which is what it is told then.
  expect(ErrorBody.parse(await (await post(IMAGE, ['embed'])).json()).code).toBe('not_configured');
  const refused = OpenAiError.parse(await (await post(LINES, ['embed'])).json());
  expect([refused.code, refused.message]).toEqual(['forbidden', expect.stringContaining('good for jobs')]);
});

test('a key that is good for neither is refused before its body is read', async () => {
  for (const body of [IMAGE, LINES]) expect((await post(body, ['admin'])).status).toBe(403);
});

describe('an item that names an upload which is not there', () => {
  const MISSING = `upload:sha256:${'b'.repeat(64)}`;
  const uploads = {
    read: async () => undefined,
    presign: () => Promise.reject(new Error('not asked for here')),
  };
  const embed = async (body: object, changes: Partial<Dependencies> = { uploads }) => {
    const open = appOf(await tableModel(), changes).app;
    const headers = { 'content-type': 'application/json' };
    return open.request('/embed', { method: 'POST', headers, body: JSON.stringify({ model: STATIC, ...body }) });
  };
  const input = ['dog', { image: MISSING }, { content: [{ text: 'dog' }, { image: MISSING }] }];

  test('is refused by its place, as any other bad item is', async () => {
    const refused = ErrorBody.parse(await (await embed({ input })).json());
    expect(refused).toMatchObject({ code: 'not_found', item: 1, error: { param: 'input.1' } });
  });

  test('has its error in its place with on_error: partial, and costs the others nothing', async () => {
    const response = await embed({ input, on_error: 'partial' });
    const { data, failed } = PartialEmbedResponse.parse(await response.json());
    expect([response.status, failed, response.headers.get('etag')]).toEqual([200, 2, null]);
    expect(data.map(({ object }) => object)).toEqual(['embedding', 'error', 'error']);
    expect(data.slice(1)).toMatchObject([
      { error: { code: 'not_found', param: 'input.1' } },
      { error: { code: 'not_found', param: 'input.2.content.1' } },
    ]);
  });

  test('has its error in its place, too, where there is no store of uploads', async () => {
    const { data } = PartialEmbedResponse.parse(await (await embed({ input, on_error: 'partial' }, {})).json());
    expect(data).toMatchObject([{ object: 'embedding' }, { error: { code: 'not_configured' } }, { object: 'error' }]);
  });
});
