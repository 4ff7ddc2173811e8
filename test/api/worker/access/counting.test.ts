// Windows and months by a clock that the test holds.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Minute, type Month, reserve, settle, type Terms } from '../../../../api/worker/access/counting.ts';
import { durationOf } from '../../../../api/worker/access/limits.ts';

const MONTH: Month = { month: '2026-11', tokens: 0, images: 0 };
const NEVER: Minute = { started: 0, requests: 0 };
const NOON = Date.UTC(2026, 10, 26, 12);
const terms = (requests: number, tokens: number | null = null, images: number | null = null): Terms => ({
  rate: { requests_per_minute: requests },
  quota: { tokens_per_month: tokens, images_per_month: images },
});

test('no window of a minute that a request opens holds more requests than the key may send', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.nat(30_000), { maxLength: 60 }), (limit, pauses) => {
      let minute = NEVER;
      let now = NOON;
      let opened: number | undefined;
      let inside = 0;
      for (const pause of pauses) {
        now += pause;
        const { minute: next, standing } = reserve({ minute, month: MONTH }, terms(limit), now);
        minute = next;
        if (opened === undefined || now - opened >= 60_000) [opened, inside] = [now, 0];
        // The reference counts by itself: the request is let in exactly while there is room.
        expect(standing.isAllowed).toBe(inside < limit);
        if (standing.isAllowed) inside++;
        expect(standing.requests).toEqual({ limit, used: inside, resetMs: opened + 60_000 - now });
      }
    }),
  );
});

test('who waits as long as it was told is let in', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.nat(5000), { minLength: 6, maxLength: 20 }),
      (limit, pauses) => {
        let minute = NEVER;
        let now = NOON;
        for (const pause of pauses) {
          now += pause;
          const taken = reserve({ minute, month: MONTH }, terms(limit), now);
          minute = taken.minute;
          if (taken.standing.isAllowed) continue;
          now += taken.standing.requests.resetMs;
          const again = reserve({ minute, month: MONTH }, terms(limit), now);
          minute = again.minute;
          expect(again.standing.isAllowed).toBe(true);
        }
      },
    ),
  );
});

test('a clock that was set back locks nobody out', () => {
  const minute = { started: NOON + 3_600_000, requests: 5 };
  expect(reserve({ minute, month: MONTH }, terms(5), NOON).standing.isAllowed).toBe(true);
});

test('what is given back is no more than there is in its month', () => {
  const month = settle(MONTH, { tokens: 10, images: 8 }, NOON);
  expect(settle(month, { tokens: -4, images: -9 }, NOON)).toEqual({ month: '2026-11', tokens: 6, images: 0 });
});

test('tokens and images add up in their month of UTC and begin anew in the next', () => {
  let month = settle(MONTH, { tokens: 10, images: 1 }, NOON);
  month = settle(month, { tokens: 5, images: 0 }, Date.UTC(2026, 10, 30, 23, 59, 59, 999));
  expect(month).toEqual({ month: '2026-11', tokens: 15, images: 1 });
  const at = (now: number) => reserve({ minute: NEVER, month }, terms(9, 20, 3), now).standing;
  const last = at(Date.UTC(2026, 10, 30, 23, 59, 59));
  expect([last.tokens, last.images]).toEqual([
    { limit: 20, used: 15, resetMs: 1000 },
    { limit: 3, used: 1, resetMs: 1000 },
  ]);
  const next = at(Date.UTC(2026, 11, 1));
  expect([next.tokens.used, next.images.used, next.tokens.resetMs]).toEqual([0, 0, 31 * 24 * 3_600_000]);
  expect(settle(month, { tokens: 2, images: 0 }, Date.UTC(2027, 0, 1))).toEqual({
    month: '2027-01',
    tokens: 2,
    images: 0,
  });
});

test.each([
  [0, '0ms'],
  [0.2, '1ms'],
  [850, '850ms'],
  [1000, '1s'],
  [1001, '2s'],
  [59_001, '1m0s'],
  [60_000, '1m0s'],
  [360_000, '6m0s'],
  [3_600_000, '1h0m0s'],
  [11 * 86_400_000 + 61_000, '264h1m1s'],
])('%d ms are written as Go and OpenAI write them: %s', (milliseconds, text) => {
  expect(durationOf(milliseconds)).toBe(text);
});
