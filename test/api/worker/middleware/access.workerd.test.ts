// Who is answered: keys in every header that clients use, refusals that say why, and this machine without a key.
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createKeyCache, type KeyCacheOptions } from '../../../../api/worker/access/key-cache.ts';
import { policyOf, WORDS } from '../../../../api/worker/access/policy.ts';
import { createAccess } from '../../../../api/worker/middleware/access.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { accessBy, keyNamespace, type TestNamespace } from '../key-namespace.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const model = await tableModel();
let namespace: TestNamespace;
beforeEach(() => {
  namespace = keyNamespace();
});

interface Setting {
  words?: string;
  hasNamespace?: boolean;
  origins?: string[];
  cache?: Partial<KeyCacheOptions>;
}
function service({ words = WORDS.keys, hasNamespace = true, origins, cache }: Setting = {}) {
  const keys = hasNamespace ? createKeyCache(namespace, cache) : undefined;
  const { app } = appOf(model, {
    access: createAccess({ policy: policyOf({ access: words, hasKeys: hasNamespace }), keys, origins }),
  });
  return (headers: Record<string, string> = {}, path = '/embed', host = 'api.example') =>
    app.request(`http://${host}${path}`, {
      headers: { 'content-type': 'application/json', ...headers },
      ...(path === '/embed' ? { method: 'POST', body: JSON.stringify({ input: 'dog', model: STATIC }) } : {}),
    });
}
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });

async function refusal(response: Response) {
  const { code, detail, error } = ErrorBody.parse(await response.json());
  return { status: response.status, code, detail, type: error.type };
}

describe('a key', () => {
  test.each([
    ['Authorization: Bearer', (key: string) => ({ authorization: `Bearer ${key}` })],
    ['the scheme in small letters', (key: string) => ({ authorization: `bearer  ${key} ` })],
    ['Authorization without a scheme', (key: string) => ({ authorization: key })],
    ['x-api-key', (key: string) => ({ 'x-api-key': key })],
    ['api-key', (key: string) => ({ 'api-key': key })],
    ['x-api-key beside an empty Authorization', (key: string) => ({ authorization: 'Bearer ', 'x-api-key': key })],
    [
      'x-api-key beside a password of a proxy',
      (key: string) => ({ authorization: 'Basic bWU6cHc=', 'x-api-key': key }),
    ],
    ['api-key beside a stringified nothing', (key: string) => ({ authorization: 'Bearer undefined', 'api-key': key })],
  ])('is taken from %s', async (_, headers) => {
    expect((await service()(headers(await namespace.add()))).status).toBe(200);
  });

  test.each([
    ['no header', {}],
    ['an empty one', { authorization: '' }],
    ['a scheme alone', { authorization: 'Bearer' }],
    ['what JavaScript makes of a missing key', { authorization: 'undefined' }],
    ['the same behind the scheme', { authorization: 'Bearer undefined' }],
    ['null', { 'x-api-key': 'null' }],
  ])('is missing with %s', async (_, headers: Record<string, string>) => {
    const response = await service()(headers);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await refusal(response)).toMatchObject({
      status: 401,
      code: 'unauthorized',
      type: 'authentication_error',
      detail: expect.stringContaining('Authorization: Bearer ec_'),
    });
  });

  test('that is not known, revoked or expired is refused with the reason, and never repeated', async () => {
    const unknown = `ec_${'A'.repeat(40)}`;
    const revoked = await namespace.add({ revoked_at: '2026-02-03T04:05:06Z' });
    const expired = await namespace.add({ expires_at: '2026-03-04T05:06:07Z' });
    const ask = service();
    const said = await Promise.all(
      [unknown, 'sk-of-another-service', revoked, expired].map(async (key) => refusal(await ask(bearer(key)))),
    );
    expect(said.map(({ status, code }) => [status, code])).toEqual(Array(4).fill([401, 'unauthorized']));
    expect(said.map(({ detail }) => detail)).toEqual([
      expect.stringContaining('is not known here'),
      expect.stringContaining('Keys begin with ec_'),
      expect.stringContaining(`${revoked.slice(0, 11)}… was revoked at 2026-02-03T04:05:06Z`),
      expect.stringContaining(`${expired.slice(0, 11)}… expired at 2026-03-04T05:06:07Z`),
    ]);
    for (const key of [unknown, 'sk-of-another-service', revoked, expired])
      expect(JSON.stringify(said)).not.toContain(key);
  });

  test('of another scope is forbidden, and is told both', async () => {
    const key = await namespace.add({ scopes: ['jobs', 'admin'] });
    expect(await refusal(await service()(bearer(key)))).toMatchObject({
      status: 403,
      code: 'forbidden',
      detail: expect.stringMatching(/good for jobs and admin; this needs embed\.$/),
    });
  });

  test('is not asked for where an operation needs none', async () => {
    for (const path of ['/health/live', '/openapi.json']) expect((await service()({}, path)).status).toBe(200);
  });

  test('is refused in the form of the door that was knocked at', async () => {
    const { app } = appOf(model, { access: accessBy(namespace) });
    const ask = (path: string, body: object) =>
      app.request(path, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });
    const openai = await ask('/v1/embeddings', { input: 'a dog' });
    expect([openai.status, await openai.json()]).toEqual([
      401,
      expect.objectContaining({ error: expect.objectContaining({ code: 'unauthorized', param: null }) }),
    ]);
    // Cohere's clients show `message`, those of TEI `error`.
    const cohere = await ask('/v2/embed', { texts: ['a dog'] });
    expect([cohere.status, await cohere.json()]).toEqual([
      401,
      expect.objectContaining({ message: expect.stringContaining('An API key') }),
    ]);
    const tokens = await ask('/tokenize', { inputs: 'a dog' });
    expect([tokens.status, tokens.headers.get('www-authenticate'), JSON.stringify(await tokens.json())]).toEqual([
      401,
      'Bearer',
      expect.stringContaining('An API key'),
    ]);
  });
});

describe('reading keys', () => {
  test('happens once in the time that a key is remembered, for known and unknown ones', async () => {
    const key = await namespace.add();
    let now = 0;
    const ask = service({ cache: { seconds: 30, secondsUnknown: 5, now: () => now } });
    for (let i = 0; i < 5; i++) await ask(bearer(key));
    for (let i = 0; i < 5; i++) await ask(bearer(`ec_${'0'.repeat(40)}`));
    expect(namespace.reads).toBe(2);
    now = 6000;
    await ask(bearer(key));
    await ask(bearer(`ec_${'0'.repeat(40)}`));
    expect(namespace.reads).toBe(3);
    now = 31_000;
    await ask(bearer(key));
    expect(namespace.reads).toBe(4);
  });

  test('notices a revocation when that time is over', async () => {
    const key = await namespace.add();
    let now = 0;
    const ask = service({ cache: { seconds: 30, now: () => now } });
    expect((await ask(bearer(key))).status).toBe(200);
    for (const [name, text] of namespace.stored) {
      namespace.stored.set(name, JSON.stringify({ ...JSON.parse(text), revoked_at: '2026-01-02T00:00:00Z' }));
    }
    now = 29_999;
    expect((await ask(bearer(key))).status).toBe(200);
    now = 30_000;
    expect((await ask(bearer(key))).status).toBe(401);
  });

  test('fails: known keys go on, others are asked to wait', async () => {
    const [known, other] = [await namespace.add(), await namespace.add()];
    let now = 0;
    const ask = service({ cache: { seconds: 30, now: () => now } });
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    await ask(bearer(known));
    namespace.isDown = true;
    now = 3_600_000;
    expect((await ask(bearer(known))).status).toBe(200);
    const response = await ask(bearer(other));
    expect(response.headers.get('retry-after')).toBe('5');
    expect(await refusal(response)).toMatchObject({ status: 503, code: 'keys_unavailable' });
    expect(String(logged.mock.calls)).not.toMatch(/ec_\w{12}/);
    namespace.isDown = false;
    expect((await ask(bearer(other))).status).toBe(200);
    logged.mockRestore();
  });

  test('remembers a bounded number, and guessing pushes no real key out', async () => {
    const key = await namespace.add();
    const ask = service({ cache: { size: 3 } });
    await ask(bearer(key));
    for (let i = 0; i < 10; i++) await ask(bearer(`ec_${String(i).repeat(40)}`));
    namespace.reads = 0;
    await ask(bearer(key));
    expect(namespace.reads).toBe(0);
    await ask(bearer(`ec_${'0'.repeat(40)}`));
    expect(namespace.reads).toBe(1);
  });

  test('does not happen for what can be no key', async () => {
    const ask = service();
    for (const key of [
      'sk-1234',
      'ec_short',
      `ec_${'x'.repeat(5000)}`,
      'ec_ with spaces in it and long enough to be one',
    ])
      expect((await ask(bearer(key))).status).toBe(401);
    expect(namespace.reads).toBe(0);
  });

  test('takes no document that is of another key', async () => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    const [one, other] = [await namespace.add({ scopes: ['admin'] }), await namespace.add()];
    const [first, second] = [...namespace.stored.keys()];
    namespace.stored.set(first ?? '', namespace.stored.get(second ?? '') ?? '');
    expect((await service()(bearer(one))).status).toBe(503);
    expect((await service()(bearer(other))).status).toBe(200);
    logged.mockRestore();
  });
});

describe('without a key', () => {
  const local = { words: WORDS.loopback };
  test.each(['127.0.0.1', 'localhost', 'localhost:8787', 'app.localhost', '127.8.9.1', '[::1]:80'])(
    'this machine is answered as %s',
    async (host) => expect((await service(local)({}, '/embed', host)).status).toBe(200),
  );
  test.each([
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
    '169.254.169.254',
    '[::2]',
  ])('no other name is: %s', async (host) =>
    expect(await refusal(await service(local)({}, '/embed', host))).toMatchObject({
      status: 401,
      detail: expect.stringContaining('127.0.0.1 or localhost'),
    }),
  );
  test('a page of another origin is not, unless it is one of ours', async () => {
    const from = async (origin: string, origins: string[] = []) =>
      (await service({ ...local, origins })({ origin }, '/embed', 'localhost')).status;
    expect(await from('https://evil.example')).toBe(401);
    expect(await from('null')).toBe(401);
    expect(await from('http://localhost:3000')).toBe(200);
    expect(await from('https://good.example', ['https://good.example'])).toBe(200);
  });
  test('a page without an origin is told that a list does not help', async () => {
    const { detail } = await refusal(await service(local)({ origin: 'null' }, '/embed', 'localhost'));
    expect(detail).toContain('serve it by HTTP');
    expect(detail).not.toContain('CORS_ORIGINS');
  });
  test('where there is no key at all, clients that insist on one may send any', async () => {
    expect((await service(local)(bearer('unused'), '/embed', 'localhost')).status).toBe(200);
    expect((await service({ ...local, hasNamespace: false })(bearer('unused'), '/embed', 'localhost')).status).toBe(
      200,
    );
    await namespace.add();
    expect((await service(local)(bearer('unused'), '/embed', 'localhost')).status).toBe(401);
  });
  test('everyone is answered where that was said in words', async () => {
    expect((await service({ words: WORDS.open })()).status).toBe(200);
    expect((await service({ words: WORDS.open, hasNamespace: false })(bearer('anything'))).status).toBe(200);
  });
});

describe('a deployment that says nothing', () => {
  test('answers nothing but that it is alive, and says what to do', async () => {
    const { app } = appOf(model, { access: createAccess({ policy: policyOf({ access: undefined, hasKeys: false }) }) });
    expect((await app.request('/health/live')).status).toBe(200);
    for (const path of ['/v1/models', '/health/ready', '/openapi.json']) {
      const response = await app.request(path);
      expect([response.headers.get('retry-after'), response.headers.get('x-should-retry')]).toEqual([null, 'false']);
      expect(await refusal(response)).toMatchObject({
        status: 503,
        code: 'not_configured',
        detail: expect.stringMatching(/bind a KV namespace as KEYS .* set ACCESS = "open to everyone"/),
      });
    }
  });
  test('or something else is told what can be said', async () => {
    const response = await service({ words: 'Open to everyone' })();
    expect(await refusal(response)).toMatchObject({
      status: 503,
      detail: 'ACCESS is "Open to everyone", and may be "keys" or "loopback" or "open to everyone".',
    });
  });
});
