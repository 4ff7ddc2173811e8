// Trace context as the W3C recommendation has it; the examples of headers are of its sections 3.2 and 4.
import { expect, it } from 'vitest';
import { startTrace, traceHeaders } from '../../../../api/worker/http/trace.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const trace = (headers: Record<string, string>) => startTrace(new Headers(headers));

it("continues the caller's trace in a span of its own, and hands on vendors' entries", () => {
  const traced = trace({ traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'rojo=00f067aa0ba902b7,congo=t61' });
  expect(traced).toMatchObject({ traceId: TRACE, parentId: PARENT, isSampled: true });
  expect(traced.spanId).toMatch(/^[0-9a-f]{16}$/);
  expect(traced.spanId).not.toBe(PARENT);
  expect(traceHeaders(traced)).toEqual({
    traceparent: `00-${TRACE}-${traced.spanId}-01`,
    tracestate: 'rojo=00f067aa0ba902b7,congo=t61',
  });
});

it('takes what a later version may append, and only its sampled flag', () => {
  expect(trace({ traceparent: `cc-${TRACE}-${PARENT}-03-what-the-future-will-be-like` })).toMatchObject({
    traceId: TRACE,
    isSampled: true,
  });
  expect(trace({ traceparent: `00-${TRACE}-${PARENT}-02` })).toMatchObject({ traceId: TRACE, isSampled: false });
});

it.each([
  ['nothing', ''],
  ['version ff', `ff-${TRACE}-${PARENT}-01`],
  ['more than version 00 has', `00-${TRACE}-${PARENT}-01-more`],
  ['a trace of zeros', `00-${'0'.repeat(32)}-${PARENT}-01`],
  ['a parent of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
  ['upper case', `00-${TRACE.toUpperCase()}-${PARENT}-01`],
  ['a short trace', `00-${TRACE.slice(1)}-${PARENT}-01`],
])('begins a new trace after %s', (_, traceparent) => {
  const begun = trace({ traceparent, tracestate: 'rojo=1' });
  expect(begun.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(begun.traceId).not.toBe(TRACE);
  expect(begun).not.toHaveProperty('parentId');
  expect(traceHeaders(begun)).toEqual({ traceparent: `00-${begun.traceId}-${begun.spanId}-00` });
});
