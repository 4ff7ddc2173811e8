// Permits to compute long texts: who gets one, and when it is free again, however its request ended.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createAdmission } from '../../../../api/worker/middleware/admission.ts';

const LONG = 1000;
const never = () => new Promise<never>(() => {});
const alive = () => new AbortController().signal;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a permit', () => {
  test('is refused when all are taken, with the seconds to wait', async () => {
    const admission = createAdmission({ permits: 2 });
    for (let i = 0; i < 2; i++) void admission(alive())(LONG, never);
    await expect(admission(alive())(LONG, never)).rejects.toMatchObject({
      code: 'overloaded',
      details: { retryAfterSeconds: 1 },
    });
  });

  test('is free again when its work has ended, well or badly', async () => {
    const admission = createAdmission({ permits: 1 });
    await expect(admission(alive())(LONG, async () => 'done')).resolves.toBe('done');
    await expect(admission(alive())(LONG, () => Promise.reject(new Error('bad')))).rejects.toThrow('bad');
    await expect(admission(alive())(LONG, async () => 'again')).resolves.toBe('again');
  });

  test('is free again as soon as its client has gone, though its work never ends', async () => {
    const admission = createAdmission({ permits: 1 });
    const client = new AbortController();
    void admission(client.signal)(LONG, never);
    client.abort();
    await expect(admission(alive())(LONG, async () => 'next')).resolves.toBe('next');
  });

  test('is lost by a request that stands still, and kept by one that goes from text to text', async () => {
    const admission = createAdmission({ permits: 1 });
    let next = () => {};
    void admission(alive())(LONG, (signal) => {
      next = () => signal?.throwIfAborted();
      return never();
    });
    for (let second = 0; second < 60; second++) {
      vi.advanceTimersByTime(1000);
      next();
    }
    await expect(admission(alive())(LONG, async () => 'too early')).rejects.toMatchObject({ code: 'overloaded' });
    vi.advanceTimersByTime(6000);
    await expect(admission(alive())(LONG, async () => 'next')).resolves.toBe('next');
  });

  test('is not needed for a short text', async () => {
    const admission = createAdmission({ permits: 0 });
    await expect(admission(alive())(16, async () => 'done')).resolves.toBe('done');
  });
});

test('work stops before the next text once its client has gone', async () => {
  const client = new AbortController();
  const texts: string[] = [];
  const work = createAdmission()(client.signal)(LONG, async (signal) => {
    for (const text of ['first', 'second', 'third']) {
      signal?.throwIfAborted();
      texts.push(text);
      if (text === 'second') client.abort();
    }
  });
  await expect(work).rejects.toThrow();
  expect(texts).toEqual(['first', 'second']);
});
