// When the breaker lets calls through, by a clock that the test moves, and how many second tries there are.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createBreaker, createRetryBudget } from '../../../../api/worker/images/breaker.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function opened() {
  const breaker = createBreaker();
  for (let times = 0; times < 5; times++) {
    expect(breaker.refusal()).toBeUndefined();
    breaker.failed();
  }
  return breaker;
}

test('opens after five failures in a row, and says how long it stays so', () => {
  const breaker = opened();
  expect(breaker.refusal()).toBe(5);
  vi.advanceTimersByTime(3500);
  expect(breaker.refusal()).toBe(2);
});

test('does not open where a success lies between', () => {
  const breaker = createBreaker();
  for (let times = 0; times < 20; times++) {
    breaker.failed();
    if (times % 4 === 3) breaker.succeeded();
    expect(breaker.refusal()).toBeUndefined();
  }
});

test('lets a single call through after the pause, and closes when that succeeds', () => {
  const breaker = opened();
  vi.advanceTimersByTime(5000);
  expect(breaker.refusal()).toBeUndefined();
  expect(breaker.refusal()).toBe(5);
  breaker.succeeded();
  expect([breaker.refusal(), breaker.refusal()]).toEqual([undefined, undefined]);
});

test('waits twice as long each time that such a call fails, up to a minute', () => {
  const breaker = opened();
  const pauses: number[] = [];
  for (let round = 0; round < 6; round++) {
    vi.advanceTimersByTime(1000 * (breaker.refusal() ?? NaN));
    expect(breaker.refusal()).toBeUndefined();
    breaker.failed();
    pauses.push(breaker.refusal() ?? NaN);
  }
  expect(pauses).toEqual([10, 20, 40, 60, 60, 60]);
});

test('calls that were under way when it opened do not make the pause longer', () => {
  const breaker = opened();
  for (let late = 0; late < 10; late++) breaker.failed();
  expect(breaker.refusal()).toBe(5);
});

test('a call that never reports, because its client has gone, does not keep it open', () => {
  const breaker = opened();
  vi.advanceTimersByTime(5000);
  expect(breaker.refusal()).toBeUndefined();
  vi.advanceTimersByTime(40_000);
  expect(breaker.refusal()).toBeUndefined();
});

test('a call that was ended early counts for nothing, and lets another one try', () => {
  const breaker = createBreaker();
  for (let times = 0; times < 10; times++) breaker.ended();
  expect(breaker.refusal()).toBeUndefined();
  const other = opened();
  vi.advanceTimersByTime(5000);
  expect([other.refusal(), other.refusal()]).toEqual([undefined, 5]);
  other.ended();
  expect(other.refusal()).toBeUndefined();
  other.failed();
  expect(other.refusal()).toBe(10);
});

test('of many requests one in ten may be tried again', () => {
  const budget = createRetryBudget();
  let retries = 0;
  for (let request = 0; request < 1000; request++) {
    budget.earn();
    if (budget.spend()) retries += 1;
  }
  // Three from the beginning, and a hundred that were earned.
  expect(retries).toBeGreaterThanOrEqual(100);
  expect(retries).toBeLessThanOrEqual(103);
});
