// Pages of other origins: none without a list, those of the list with everything that a browser asks for.
import { describe, expect, test } from 'vitest';
import { createAccess } from '../../../../api/worker/middleware/access.ts';
import { createCors, readOrigins } from '../../../../api/worker/middleware/cors.ts';
import { OPERATIONS } from '../../../../contracts/src/api/operations.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const model = await tableModel();
const OURS = 'https://app.example';
const access = createAccess({ policy: { who: 'open' } });
const service = (origins: string[]) => appOf(model, { access, cors: createCors(origins) }).app;
const JSON_TYPE = { 'content-type': 'application/json' };
const embed = { method: 'POST', body: JSON.stringify({ input: 'a dog', model: STATIC }) };
const preflight = (path: string, headers: Record<string, string> = {}, origins = [OURS]) =>
  service(origins).request(path, {
    method: 'OPTIONS',
    headers: { origin: OURS, 'access-control-request-method': 'POST', ...headers },
  });
const corsHeaders = (headers: Headers) => [...headers.keys()].filter((name) => name.startsWith('access-control'));
const listIn = (response: Response, name: string) => response.headers.get(name)?.split(', ') ?? [];

describe('without a list', () => {
  test('no answer says a word about other origins', async () => {
    const response = await service([]).request('/embed', {
      ...embed,
      headers: { ...JSON_TYPE, origin: 'http://localhost:3000' },
    });
    expect([response.status, corsHeaders(response.headers), response.headers.get('vary')]).toEqual([200, [], null]);
    const options = await preflight('/embed', {}, []);
    expect([options.status, corsHeaders(options.headers)]).toEqual([204, []]);
  });
});

describe('where only this machine is answered', () => {
  const local = appOf(model, { cors: createCors([], { isLocal: true }) }).app;
  test.each(['http://localhost:5173', 'http://127.0.0.1:3000', 'http://app.localhost', 'http://[::1]:8080'])(
    'a page of %s may ask and read',
    async (origin) => {
      const asked = {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      };
      const options = await local.request('/embed', { method: 'OPTIONS', headers: asked });
      expect(options.headers.get('access-control-allow-origin')).toBe(origin);
      expect(listIn(options, 'access-control-allow-headers')).toContain('content-type');
      const response = await local.request('http://localhost/embed', { ...embed, headers: { ...JSON_TYPE, origin } });
      expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([200, origin]);
      expect(listIn(response, 'vary')).toContain('Origin');
    },
  );

  test.each(['https://evil.example', 'http://localhost.evil.example', 'http://127.0.0.1.evil.example', 'null'])(
    'a page of %s may not read',
    async (origin) => {
      const response = await local.request('http://localhost/embed', { ...embed, headers: { ...JSON_TYPE, origin } });
      expect([response.status, corsHeaders(response.headers)]).toEqual([401, []]);
    },
  );
});

describe('with a list', () => {
  test('a page of it may read an answer, an error and the headers that clients use', async () => {
    for (const [body, status] of [
      [embed.body, 200],
      ['{', 400],
    ] as const) {
      const init = { method: 'POST', body, headers: { ...JSON_TYPE, origin: OURS } };
      const response = await service([OURS, 'https://b.example']).request('http://api.example/embed', init);
      expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([status, OURS]);
      expect(listIn(response, 'vary')).toContain('Origin');
      expect(listIn(response, 'access-control-expose-headers')).toEqual(
        expect.arrayContaining([
          'x-request-id',
          'retry-after',
          'x-should-retry',
          'location',
          'etag',
          'server-timing',
          'x-served-by',
          'x-ratelimit-remaining-tokens',
        ]),
      );
    }
  });

  test.each([
    ['https://evil.example'],
    ['https://app.example.evil.example'],
    ['http://app.example'],
    ['https://app.example:8443'],
    ['null'],
  ])('%s may not, and a cache is told that it depends on who asks', async (origin) => {
    const response = await service([OURS]).request('/v1/models', { headers: { origin } });
    expect([corsHeaders(response.headers), response.headers.get('vary')]).toEqual([[], 'Origin']);
  });

  test('a star is everyone', async () => {
    const response = await service(['*']).request('/health/live', { headers: { origin: 'https://any.example' } });
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
  });

  test.each(Object.values(OPERATIONS).map(({ path }) => path))('a preflight for %s names its methods', async (path) => {
    const methods = Object.values(OPERATIONS).flatMap((row) => (row.path === path ? [row.method] : []));
    const response = await preflight(path.replace(/\{\w+\}/g, 'x'));
    expect(response.status).toBe(204);
    expect(
      listIn(response, 'access-control-allow-methods')
        .filter((name) => name !== 'HEAD')
        .sort(),
    ).toEqual(methods.sort());
    expect(listIn(response, 'allow')).toEqual([...listIn(response, 'access-control-allow-methods'), 'OPTIONS']);
    expect(Number(response.headers.get('access-control-max-age'))).toBeGreaterThanOrEqual(600);
  });

  test('a preflight takes the headers of keys and of SDKs in browsers, and no others', async () => {
    const asked = 'authorization, Content-Type,x-stainless-lang, OpenAI-Organization, cookie, origin-trial';
    const response = await preflight('/v1/embeddings', { 'access-control-request-headers': asked });
    const taken = listIn(response, 'access-control-allow-headers');
    expect(taken).toEqual(expect.arrayContaining(['authorization', 'content-type', 'x-stainless-lang', 'x-api-key']));
    expect(taken).toContain('openai-organization');
    expect(taken).not.toContain('cookie');
    expect(taken).not.toContain('origin-trial');
  });

  test('a preflight takes what goes around the cache, compressed bodies, and what SDKs for Node say of themselves', async () => {
    const asked = 'cache-control, content-encoding, content-type, user-agent';
    const response = await preflight('/embed', { 'access-control-request-headers': asked });
    expect(listIn(response, 'access-control-allow-headers')).toEqual(expect.arrayContaining(asked.split(', ')));
  });

  test('a preflight for a path that does not exist is 404', async () => {
    expect((await preflight('/v0/nothing')).status).toBe(404);
  });

  test('a preflight of another origin is told the methods and allowed nothing', async () => {
    const response = await preflight('/embed', { origin: 'https://evil.example' });
    expect([response.headers.get('allow'), corsHeaders(response.headers)]).toEqual(['POST, OPTIONS', []]);
  });
});

test('the list is read with spaces or commas, and what is no origin is said', () => {
  expect(readOrigins(' https://a.example,https://b.example:8443\n*')).toEqual({
    origins: ['https://a.example', 'https://b.example:8443', '*'],
  });
  expect(readOrigins(undefined)).toEqual({ origins: [] });
  for (const wrong of ['https://a.example/', 'a.example', 'https://*.a.example/x', 'null'])
    expect(readOrigins(wrong)).toEqual({ problem: expect.stringContaining(`"${wrong}"`) });
});

test('every answer carries the headers that keep browsers from guessing and framing', async () => {
  for (const path of ['/health/live', '/v0/nothing', '/openapi.json']) {
    const { headers } = await service([]).request(path);
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
    });
  }
});
