// A program that keeps silent while it is waited for is ended; one that has to wait itself is not.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { deadlineOf } from '../../../../api/bulk/video/deadline.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('only the time in which its reader waits counts, anew with each thing that it says', () => {
  const kill = vi.fn();
  const deadline = deadlineOf({ kill }, 60);
  deadline.begin();
  vi.advanceTimersByTime(59_000);
  // A frame: it is embedded for an hour, and the decoder waits.
  deadline.pause();
  vi.advanceTimersByTime(3_600_000);
  deadline.begin();
  vi.advanceTimersByTime(59_000);
  expect([deadline.isOver, kill.mock.calls.length]).toEqual([false, 0]);
  vi.advanceTimersByTime(1_000);
  expect([deadline.isOver, kill.mock.calls.length]).toEqual([true, 1]);
});
