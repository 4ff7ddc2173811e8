// Turns as the application uses them: a refusal with its seconds, units of work by kind, a place that is given back.
import { expect, test } from 'vitest';
import type { WorkKind } from '../../../../api/core/work.ts';
import { createAdmission } from '../../../../api/worker/middleware/admission.ts';

const NONE = { waitMs: 0, patience: 0 };
const never = () => new Promise<never>(() => {});
const alive = () => new AbortController().signal;
const long = { kind: 'student', size: 1000 } as const;

test('who would wait too long is refused with the whole seconds to wait, in the sentence too', async () => {
  const admission = createAdmission(NONE);
  void admission(alive())({ kind: 'student', size: 3000 }, never);
  const refusal = admission(alive())({ kind: 'student', size: 3000 }, never);
  const error = await refusal.catch((thrown) => thrown);
  expect(error).toMatchObject({ code: 'overloaded', details: { retryAfterSeconds: expect.any(Number) } });
  const { retryAfterSeconds } = error.details;
  expect(Number.isInteger(retryAfterSeconds) && retryAfterSeconds >= 1).toBe(true);
  expect(error.message).toContain(`in ${retryAfterSeconds} s`);
});

test('a place is free again when its work has ended, well or badly', async () => {
  const admission = createAdmission(NONE);
  await expect(admission(alive())(long, async () => 'done')).resolves.toBe('done');
  await expect(admission(alive())(long, () => Promise.reject(new Error('bad')))).rejects.toThrow('bad');
  await expect(admission(alive())(long, async () => 'again')).resolves.toBe('again');
});

test('a place is free again as soon as its client has gone, though its work never ends', async () => {
  const admission = createAdmission(NONE);
  const client = new AbortController();
  void admission(client.signal)(long, never);
  client.abort();
  await expect(admission(alive())(long, async () => 'next')).resolves.toBe('next');
});

/** Of a thousand requests of the same size, those that are taken. */
function taken(kind: WorkKind): number {
  const admission = createAdmission();
  let count = 0;
  for (let request = 0; request < 1000; request++) {
    const refused = admission(alive())({ kind, size: 1000 }, () => {
      count++;
      return never();
    });
    refused.catch(() => {});
  }
  return count;
}

test('a thousand tokens of the student count for more than those of the static tier, and these for more than letters', () => {
  expect(taken('student')).toBe(3);
  expect(taken('static')).toBeGreaterThan(50);
  expect(taken('tokenizer')).toBeGreaterThan(taken('static'));
});

test('work stops before its next block once its client has gone', async () => {
  const client = new AbortController();
  const texts: string[] = [];
  const work = createAdmission()(client.signal)(long, async (turn) => {
    for (const text of ['first', 'second', 'third']) {
      await turn?.next(1);
      texts.push(text);
      if (text === 'second') client.abort();
    }
  });
  await expect(work).rejects.toThrow();
  expect(texts).toEqual(['first', 'second']);
});

test('before anything is read, a request is refused only where the shortest one would be', () => {
  const admission = createAdmission();
  expect(() => admission.checkRoom()).not.toThrow();
  for (let request = 0; request < 100; request++) {
    admission(alive())({ kind: 'student', size: 6 }, never).catch(() => {});
  }
  expect(() => admission.checkRoom()).toThrow(expect.objectContaining({ code: 'overloaded' }));
  const beside = createAdmission();
  void beside(alive())({ kind: 'student', size: 16_000 }, never);
  expect(() => beside.checkRoom()).not.toThrow();
});
