// Ctrl-C asks, and a second one forces.
import { afterEach, expect, it, vi } from 'vitest';
import { listenForInterrupts } from '../../../../trainer/control/cli/interrupts.ts';

afterEach(() => void vi.useRealTimers());

it.each([
  ['', 0],
  ['whose clock was set back meanwhile', -3_600_000],
])('the second press ends at once on a machine %s, and one that npm passes on does not', (_, jump) => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.UTC(2026, 10, 25) });
  // The only one of its signals that nothing else here listens for.
  const press = (): void => void process.emit('SIGHUP');
  const { signals, end } = listenForInterrupts({});
  press();
  press();
  expect([signals.stop.aborted, signals.kill.aborted]).toEqual([true, false]);
  vi.advanceTimersByTime(5_000);
  vi.setSystemTime(Date.now() + jump);
  press();
  end();
  expect(signals.kill.aborted).toBe(true);
});
