// Requests are told of once they are answered: one line each, counters, and data points; never what was sent.
import { beforeEach, expect, it } from 'vitest';
import type { FinishedRequest } from '../../../../api/worker/dependencies.ts';
import { eventOf, pointsTo } from '../../../../api/worker/observe/finished.ts';
import { createMetrics } from '../../../../api/worker/observe/metrics.ts';
import { RequestEvent } from '../../../../contracts/src/events.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const metrics = createMetrics('isolate-1');
let finished: FinishedRequest[] = [];
const served = appOf(await tableModel(), {
  observers: [(request) => finished.push(request), metrics.observe],
  metrics: metrics.render,
});
beforeEach(() => {
  finished = [];
});
const app = (path: string, init?: RequestInit) => served.app.request(path, init);

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  app(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

it('tells of every request once, with its operation, model, usage, status and trace', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const response = await post('/embed', { input: ['a dog', 'dog'], model: STATIC }, { traceparent });
  expect(response.status).toBe(200);
  expect(finished).toHaveLength(1);
  const [request] = finished.map(eventOf);
  expect(RequestEvent.parse(request)).toMatchObject({
    event: 'request',
    request_id: response.headers.get('x-request-id'),
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    parent_id: '00f067aa0ba902b7',
    method: 'POST',
    operation: 'embed',
    door: 'own',
    status: 200,
    model: STATIC,
    tokens: 3,
    images: 0,
  });
});

it.each([
  [
    'a body that is refused',
    () => post('/embed', { input: [] }),
    { operation: 'embed', status: 400, code: 'empty_input' },
  ],
  ['a path that is not there', () => app('/nowhere'), { operation: null, status: 404, code: 'not_found' }],
  ['a method that is not taken', () => app('/embed'), { operation: null, status: 405, code: 'method_not_allowed' }],
  [
    "another door's body",
    () => post('/v1/embeddings', { input: '', model: STATIC }),
    { operation: 'createEmbeddings', door: 'openai', status: 400 },
  ],
])('tells of %s', async (_, send, expected) => {
  await send();
  expect(finished).toHaveLength(1);
  expect(finished.map(eventOf)[0]).toMatchObject(expected);
});

it('tells nothing of what was sent', async () => {
  await post('/embed', { input: ['secret words', { text: 'hidden text' }], model: STATIC, strange: 'value' });
  await app('/secret/path?secret=words');
  const points: unknown[] = [];
  const tell = pointsTo({ writeDataPoint: (point) => points.push(point) });
  for (const request of finished) tell(request);
  const told = JSON.stringify([finished.map(eventOf), points, metrics.render(NOW)]);
  expect(told).not.toMatch(/secret|hidden|words|strange/);
  expect(points).toHaveLength(2);
});

const NOW = { model: { id: 'table', version: '1', space_id: 'sha256:0' } };

it('writes points whose blobs and doubles keep their order', async () => {
  await post('/embed', { input: 'a dog', model: STATIC });
  const points: unknown[] = [];
  for (const request of finished) pointsTo({ writeDataPoint: (point) => points.push(point) })({ ...request, ms: 7 });
  expect(points).toEqual([
    { indexes: ['none'], blobs: ['embed', 'own', '200', '', STATIC, expect.any(String)], doubles: [7, 2, 0, 0] },
  ]);
});

it('counts a duration in every bucket whose bound is not below it, and adds durations up', async () => {
  await post('/embed', { input: 'a dog', model: STATIC });
  const own = createMetrics('isolate-2');
  for (const request of finished) for (const ms of [5, 6, 40_000]) own.observe({ ...request, ms });
  const lines = own.render(NOW).split('\n');
  const name = 'edge_clip_request_duration_milliseconds';
  for (const [le, count] of Object.entries({ 5: 1, 10: 2, 30000: 2, '+Inf': 3 })) {
    expect(lines).toContain(`${name}_bucket{operation="embed",le="${le}"} ${count}`);
  }
  expect(lines).toContain(`${name}_sum{operation="embed"} 40011`);
  expect(lines).toContain(`${name}_count{operation="embed"} 3`);
});

it('serves counters in the exposition format, of this isolate and no other', async () => {
  await post('/embed', { input: 'a dog', model: STATIC });
  await app('/nowhere');
  const response = await app('/metrics');
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = (await response.text()).trimEnd().split('\n');
  const sample = /^[a-z_]+\{([a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\} (\d+(\.\d+)?|\+Inf)$/;
  expect(lines.filter((line) => !line.startsWith('#') && !sample.test(line))).toEqual([]);
  const value = (start: string) =>
    Number(
      lines
        .find((line) => line.startsWith(start))
        ?.split(' ')
        .at(-1),
    );
  expect(value('edge_clip_isolate_info{isolate="isolate-1",model="table"')).toBe(1);
  expect(value('edge_clip_requests_total{operation="none",door="own",status="404"}')).toBeGreaterThanOrEqual(1);
  const before = value('edge_clip_requests_total{operation="embed",door="own",status="200"}');
  const tokens = value(`edge_clip_tokens_total{model="${STATIC}"}`);
  await post('/embed', { input: ['a dog', 'a dog'], model: STATIC });
  const again = (await (await app('/metrics')).text()).split('\n');
  expect(again).toContain(`edge_clip_requests_total{operation="embed",door="own",status="200"} ${before + 1}`);
  expect(again).toContain(`edge_clip_tokens_total{model="${STATIC}"} ${tokens + 4}`);
  // A histogram's buckets add up: the last one counts everything.
  const count = value('edge_clip_request_duration_milliseconds_count{operation="embed"}');
  expect(value('edge_clip_request_duration_milliseconds_bucket{operation="embed",le="+Inf"}')).toBe(count);
});
