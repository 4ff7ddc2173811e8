// /openapi.json against the running service: every example and every address of it is tried.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { DOOR_ERRORS } from '../../contracts/src/api/doors/errors.ts';
import type { Operation } from '../../contracts/src/api/operation.ts';
import { OPERATIONS } from '../../contracts/src/api/operations.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

const ALL = Object.entries<Operation>(OPERATIONS);

interface Described {
  operationId: string;
  tags: string[];
  security: object[];
  parameters?: { name: string; in: string }[];
}
interface Document {
  paths: Record<string, Record<string, Described>>;
  tags: { name: string }[];
}

let server: LocalServer;
let document: Document;
beforeAll(async () => {
  server = await startLocalServer({ jobs: mkdtempSync(join(tmpdir(), 'jobs-')) });
  document = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document;
}, 120_000);
afterAll(() => server?.stop());

const send = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

test('every operation is described once, with an id, a known tag and what a key must be good for', () => {
  const described = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  expect(described.map(({ operationId }) => operationId).sort()).toEqual(ALL.map(([id]) => id).sort());
  const tags = document.tags.map(({ name }) => name);
  for (const { operationId, tags: own, security } of described) {
    expect(tags, operationId).toEqual(expect.arrayContaining(own));
    const { scope } = OPERATIONS[operationId as keyof typeof OPERATIONS];
    expect(security, operationId).toHaveLength(scope ? 2 : 0);
  }
});

/** What an example and its path name has to be there. */
async function madeReal(id: string, path: string, value: object): Promise<{ path: string; value: object }> {
  if (id === 'completeUpload') {
    const asked = { filename: 'requests.jsonl', purpose: 'batch', bytes: 2, mime_type: 'application/jsonl' };
    const upload = (await (await send('/v1/uploads', asked)).json()) as { id: string };
    const form = new FormData();
    form.set('data', new Blob(['{}']));
    const parts = `${server.url}/v1/uploads/${upload.id}/parts`;
    const part = (await (await fetch(parts, { method: 'POST', body: form })).json()) as { id: string };
    return { path: path.replace('{id}', upload.id), value: { part_ids: [part.id] } };
  }
  if (id !== 'createBatch') return { path, value };
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob(['{}']), 'requests.jsonl');
  const sent = (await (await fetch(`${server.url}/v1/files`, { method: 'POST', body: form })).json()) as { id: string };
  return { path, value: { ...value, input_file_id: sent.id } };
}

test('every operation that takes a body has an example', () => {
  const silent = ALL.filter(([, { request, examples }]) => request && Object.keys(examples ?? {}).length === 0);
  expect(silent.map(([id]) => id)).toEqual([]);
});

describe('an example is answered as it is described:', () => {
  const examples = ALL.flatMap(([id, { path, examples: named = {}, response }]) =>
    Object.entries(named).map(([name, { value }]) => ({ name: `${id}, ${name}`, id, path, value, response })),
  );
  test.each(examples)('$name', async ({ id, path, value, response }) => {
    const real = await madeReal(id, path, value);
    const answer = await send(real.path, real.value);
    const body: unknown = await answer.json();
    expect(answer.status, JSON.stringify(body)).toBe(200);
    expect(z.strictObject({ body: response }).safeParse({ body }).error).toBeUndefined();
  });
});

test('what is described to take an Idempotency-Key begins one thing under it, and takes nothing else', async () => {
  const described = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const ids = described
    .filter(({ parameters = [] }) => parameters.some(({ name }) => name === 'Idempotency-Key'))
    .map(({ operationId }) => operationId);
  expect(ids.sort()).toEqual(['createBatch', 'createEmbeddings', 'createJob', 'embed']);
  for (const [id, { path, examples = {} }] of ALL.filter(([each]) => ids.includes(each))) {
    const { value } = await madeReal(id, path, Object.values(examples)[0]?.value ?? {});
    const headers = { 'idempotency-key': `described-${id}`, prefer: 'respond-async' };
    const [first, again] = [await send(path, value, headers), await send(path, value, headers)];
    const begun = ((await first.json()) as { id: string }).id;
    expect(begun, id).toMatch(/^(job|batch)_/);
    expect(((await again.json()) as { id: string }).id, id).toBe(begun);
    const other = id === 'createBatch' ? { metadata: { a: 'b' } } : { dimensions: 8 };
    expect((await send(path, { ...value, ...other }, headers)).status, id).toBe(400);
  }
});

describe('what takes no body is answered on all of its addresses:', () => {
  const addresses = ALL.filter(([, { method }]) => method === 'GET').flatMap(([id, operation]) =>
    [operation.path, ...(operation.aliases ?? [])].map((address) => ({ ...operation, id, address })),
  );
  // Of bulk jobs and files none has that name: test/journeys/jobs.test.ts asks for those that there are.
  const named = addresses.filter(({ scope, path }) => scope === 'jobs' && path.includes('{'));
  test.each(named)('$id at $address, 404 where there is none', async ({ address, door }) => {
    const answer = await fetch(`${server.url}${address.replace(/\{\w+\}/g, 'edge-clip-small')}`);
    expect(answer.status).toBe(404);
    expect(DOOR_ERRORS[door].safeParse(await answer.json()).error).toBeUndefined();
  });
  const others = addresses.filter((address) => !named.includes(address));
  test.each(others)('$id at $address', async ({ address, answerType = 'application/json', response }) => {
    const answer = await fetch(`${server.url}${address.replace(/\{\w+\}/g, 'edge-clip-small')}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain(answerType);
    const body: unknown = answerType === 'application/json' ? await answer.json() : await answer.text();
    expect(response.safeParse(body).error).toBeUndefined();
  });
});

test('an address that is the same as another one answers the same', async () => {
  for (const [, { method, path, aliases = [], examples = {} }] of ALL) {
    const [example] = Object.values(examples);
    if (method !== 'POST' || !example) continue;
    for (const alias of aliases) {
      const [one, other] = [await send(path, example.value), await send(alias, example.value)];
      expect(other.status, alias).toBe(one.status);
    }
  }
});
