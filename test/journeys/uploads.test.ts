// Files that are put first and named then: the address takes this file and nothing else, and the vector is that of the bytes.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ErrorBody } from '../../contracts/src/api/error.ts';
import { UploadResponse } from '../../contracts/src/api/tasks/upload.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { digestOf } from '../support/registry.ts';

const FILE = readFileSync(new URL('../../api/playground/samples/cat.jpg', import.meta.url));

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer({ variables: { CACHE: 'off' } });
}, 240_000);
afterAll(() => server?.stop());

const post = (path: string, body: object) =>
  fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const embed = (image: string) =>
  post('/embed', { input: ['a cat', { image }, { content: [{ image }, { text: 'a cat' }] }] });

test('a file', async () => {
  const asked = await post('/v1/uploads', { digest: digestOf(FILE), bytes: FILE.length });
  const { method, url, headers, image } = UploadResponse.parse(await asked.json());
  const put = (body: Buffer) => fetch(url, { method, headers, body: new Uint8Array(body) });

  const missing = ErrorBody.parse(await (await embed(image)).json());
  expect(missing).toMatchObject({ code: 'not_found', error: { param: 'input.1' } });

  const other = Buffer.from(FILE);
  other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
  // Another file of this size, this file under a longer length, and the address for another purpose.
  expect((await put(other)).status).toBe(400);
  expect((await put(Buffer.concat([FILE, other]))).status).toBe(403);
  expect((await fetch(url)).status).toBe(403);
  expect(
    (
      await fetch(url.replace(/X-Amz-Expires=\d+/, 'X-Amz-Expires=90000'), {
        method,
        headers,
        body: new Uint8Array(FILE),
      })
    ).status,
  ).toBe(403);
  expect((await embed(image)).status).toBe(404);

  expect((await put(FILE)).status).toBe(200);
  const named = EmbedResponse.parse(await (await embed(image)).json());
  const sent = EmbedResponse.parse(await (await embed(FILE.toString('base64'))).json());
  expect(named.data).toEqual(sent.data);
}, 180_000);

test('a name that is none is refused in its place', async () => {
  const { code, error } = ErrorBody.parse(await (await embed('upload:sha256:0')).json());
  expect([code, error.param]).toEqual(['not_found', 'input.1']);
});
