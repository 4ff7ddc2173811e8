// Paths of operations: which rows they find, what their named parts hold, and that this is what Hono's own router finds.
import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { createPaths } from '../../../../api/worker/http/paths.ts';
import type { Route } from '../../../../contracts/src/api/operation.ts';
import { OPERATIONS } from '../../../../contracts/src/api/operations.ts';

interface Row extends Route {
  id: string;
}
const TABLE = Object.entries<Route>(OPERATIONS).map(([id, row]): Row => ({ ...row, id }));
const { find, nearest } = createPaths(TABLE);

/** What Hono's router finds for a path, by the same table. */
function expressions() {
  const app = new Hono();
  for (const { path, aliases = [], method, id } of TABLE) {
    for (const each of [path, ...aliases])
      app.on(method, each.replace(/\{(\w+)\}/g, ':$1'), (c) => c.json({ id, params: c.req.param() }));
  }
  return async (method: string, path: string) => {
    const response = await app.request(path, { method });
    return response.ok ? response.json() : undefined;
  };
}

test('every path of the table, and some that are none, find what a general router finds', async () => {
  const router = expressions();
  const own = TABLE.flatMap(({ path, aliases = [] }) => [path, ...aliases]);
  const filled = own.map((path) => path.replace('{id}', 'some-id').replace('{name}', 'part-0001.parquet'));
  const none = ['/nothing', '/embed/', '/embed/more', '/v1/jobs/', '/v1/jobs//files/x', '/v1/jobs/a/files', '//embed'];
  expect(own.some((path) => path.includes('{'))).toBe(true);
  for (const path of [...filled, ...none]) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const found = find(path);
      const row = found?.rows.find((each) => each.method === method);
      expect(row && { id: row.id, params: found?.params }, `${method} ${path}`).toEqual(await router(method, path));
    }
  }
});

test.each([
  ['%3Fname%2Fpart', '?name/part'],
  ['100%25', '100%'],
  ['%zz', '%zz'],
])('the part %s of a path is %s', (written, value) => {
  expect(find(`/v1/jobs/${written}`)?.params).toEqual({ id: value });
});

// What addresses look like that were put together of a base address and a path, or typed.
test.each([
  ['/v1/embeddings/', '/v1/embeddings'],
  ['//v1//embeddings', '/v1/embeddings'],
  ['/v1/v1/embeddings', '/v1/embeddings'],
  ['/v1/embeddings/embeddings', '/v1/embeddings'],
  ['/V1/Embeddings', '/v1/embeddings'],
  ['/api/v1/embeddings', '/v1/embeddings'],
  ['/openai/deployments/some-model/embeddings', '/embeddings'],
  ['/v1/embedding', '/v1/embeddings'],
  ['/v1/similarity', '/similarity'],
  ['/tokenise', '/tokenize'],
  ['/healthz', '/health'],
  ['/ready', '/health/ready'],
  ['/v1/jobs/job_Ab/', '/v1/jobs/job_Ab'],
  ['/v1/chat/completions', undefined],
  ['/nowhere', undefined],
  ['/.env', undefined],
  [`/${'a/'.repeat(5000)}`, undefined],
])('%s may be meant for %s', (path, meant) => {
  expect(find(path)).toBe(undefined);
  expect(nearest(path)).toBe(meant);
});
