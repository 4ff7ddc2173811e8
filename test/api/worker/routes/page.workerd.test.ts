// Static files through the Worker: the description with its own headers alone, and a reason where there is none.
import { expect, test } from 'vitest';
import { appOf, tableModel } from '../table-model.ts';

const model = await tableModel();
const ETAG = '"description-1"';

/** As the platform answers it: with the page's headers, and 304 to whoever has it. */
const files = async (request: Request) => {
  const headers = { ETag: ETAG, 'Content-Security-Policy': "default-src 'self'", 'Cache-Control': 'public, max-age=0' };
  if (new URL(request.url).pathname !== '/openapi.json') return new Response(null, { status: 404 });
  if (request.headers.get('if-none-match') === ETAG) return new Response(null, { status: 304, headers });
  return Response.json({ openapi: '3.1.0' }, { headers });
};

test('the description is an answer of the interface, not a page', async () => {
  const response = await appOf(model, { files }).app.request('/openapi.json');
  expect(await response.json()).toEqual({ openapi: '3.1.0' });
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'application/json',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    etag: ETAG,
    'x-request-id': expect.any(String),
  });
});

test('whoever has it is told so, without it', async () => {
  const { app } = appOf(model, { files });
  const response = await app.request('/openapi.json', { headers: { 'if-none-match': ETAG } });
  expect([response.status, await response.text(), response.headers.get('etag')]).toEqual([304, '', ETAG]);
});

test.each([
  ['is not among the static files', async () => new Response(null, { status: 404 })],
  ['has no static files beside it', undefined],
])('a Worker whose description %s says what to do', async (_, none) => {
  const response = await appOf(model, { files: none }).app.request('/openapi.json');
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('deploy it with ASSETS bound');
});
