// One path for two kinds of uploads: which key is good for which, and in whose form each is refused.
import { expect, test } from 'vitest';
import { OpenAiError } from '../../../../contracts/src/api/doors/errors.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import type { Scope } from '../../../../contracts/src/api/operation.ts';
import { accessBy, keyNamespace } from '../key-namespace.ts';
import { appOf, tableModel } from '../table-model.ts';

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
