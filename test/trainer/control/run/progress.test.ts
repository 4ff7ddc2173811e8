// Progress: time left from the recent rate, one live line on a terminal, a line every ten seconds elsewhere.
import { describe, expect, it, vi } from 'vitest';
import type { ProgressLine } from '../../../../contracts/src/training/job.ts';
import { consoleOf, createConsole } from '../../../../trainer/control/cli/console.ts';
import type { RunEvent } from '../../../../trainer/control/run/events.ts';
import { createProgressClock, durationText, progressText } from '../../../../trainer/control/run/progress.ts';

function line(step: number, total: number, seconds: number): ProgressLine {
  return { event: 'progress', stage: 'mntp', step, total, seconds, metrics: {} };
}

describe('time left', () => {
  it('is unknown at first and then the rate times what is left', () => {
    const clock = createProgressClock();
    expect(clock.secondsLeft(line(0, 100, 50))).toBeUndefined();
    expect(clock.secondsLeft(line(10, 100, 70))).toBe(180);
  });

  it('ignores the steps of earlier attempts: a resumed stage counts from where it resumed', () => {
    const clock = createProgressClock();
    clock.secondsLeft(line(60, 100, 1000));
    expect(clock.secondsLeft(line(80, 100, 1040))).toBe(40);
  });

  it('follows the last five minutes, not the slow start', () => {
    const clock = createProgressClock();
    clock.secondsLeft(line(0, 1000, 0));
    clock.secondsLeft(line(1, 1000, 900));
    for (let step = 2; step <= 400; step += 1) clock.secondsLeft(line(step, 1000, 900 + step));
    expect(clock.secondsLeft(line(401, 1000, 1301))).toBeCloseTo(599, 6);
  });

  it('leaves out what a stage that goes through files counts again when it resumes', () => {
    const clock = createProgressClock();
    expect(clock.secondsLeft(line(1, 1000, 9000.1))).toBeUndefined();
    // 899 that were done before and one that took half a minute: no rate of either.
    expect(clock.secondsLeft(line(901, 1000, 9030))).toBeUndefined();
    expect(clock.secondsLeft(line(902, 1000, 9060))).toBe(98 * 30);
    expect(clock.secondsLeft(line(903, 1000, 9090))).toBe(97 * 30);
  });

  it('leaves it out also where it took the time between two lines', () => {
    const clock = createProgressClock();
    clock.secondsLeft(line(1, 1000, 0));
    clock.secondsLeft(line(900, 1000, 2.1));
    expect(clock.secondsLeft(line(901, 1000, 32.1))).toBeCloseTo(99 * 30, 6);
    expect(clock.secondsLeft(line(903, 1000, 92.1))).toBeCloseTo(97 * 30, 6);
  });

  it('counts from the first line where a stage begins anew', () => {
    const clock = createProgressClock();
    clock.secondsLeft(line(1, 100, 30));
    expect(clock.secondsLeft(line(2, 100, 60))).toBe(98 * 30);
    expect(clock.secondsLeft(line(3, 100, 90))).toBe(97 * 30);
    const fast = createProgressClock();
    fast.secondsLeft(line(1, 1001, 0));
    expect(fast.secondsLeft(line(101, 1001, 2))).toBe(18);
    expect(fast.secondsLeft(line(201, 1001, 4))).toBe(16);
  });

  it('starts again with the second loop of a stage', () => {
    const clock = createProgressClock();
    clock.secondsLeft(line(0, 10, 0));
    clock.secondsLeft(line(10, 10, 100));
    expect(clock.secondsLeft(line(1, 50, 101))).toBeUndefined();
    expect(clock.secondsLeft(line(2, 50, 103))).toBe(96);
  });
});

describe('text', () => {
  it('names durations as people do', () => {
    expect([0, 59, 60, 3599, 3600, 3900, 18_000].map(durationText)).toEqual([
      '0 s',
      '59 s',
      '1 min',
      '1 h 00 min',
      '1 h 00 min',
      '1 h 05 min',
      '5 h 00 min',
    ]);
  });

  it('shows stage, steps, metrics and time left in one line', () => {
    const view = { id: 'mntp', number: 2, of: 9, step: 40, total: 100, metrics: { loss: 3.21456 }, seconds_left: 130 };
    expect(progressText(view)).toBe('[2/9] mntp  40/100  40 %  loss 3.215  2 min left');
  });
});

describe('the console', () => {
  const progress = (step: number, id = 'mntp'): RunEvent => ({
    event: 'progress',
    id,
    stage: 'mntp',
    number: 1,
    of: 1,
    step,
    total: 100,
    seconds: step,
    metrics: {},
    seconds_left: 100 - step,
  });

  it('rewrites one line on a terminal, never wider than it, and clears it before a sentence', () => {
    let text = '';
    const emit = createConsole({ write: (part) => (text += part), columns: () => 30 });
    emit(progress(1));
    emit(progress(2));
    emit({ event: 'interrupted', id: 'mntp', message: 'stopped' });
    expect(text).not.toMatch(/\n.*\n/);
    const [, first = '', second = '', end] = text.split('\r\x1b[2K');
    expect(first).toBe('[1/1] mntp  1/100  1 %  99 s '.slice(0, 29).replace('99 s ', '2 min'));
    expect(second.length).toBeLessThanOrEqual(29);
    expect(end).toBe('stopped\n');
  });

  it.each([
    ['one without a size', [0, 0], [' left', ' left']],
    ['one that is made narrower', [80, 12], [' left', '1/1] mntp ']],
  ])('fits %s', (_, widths, ends) => {
    let text = '';
    const stdout = { write: (part: string) => (text += part), isTTY: true, columns: 0 };
    const emit = consoleOf({ stdout }, { json: false });
    for (const columns of widths) {
      stdout.columns = columns;
      emit(progress(1));
    }
    for (const [index, part] of text.split('\r\x1b[2K').slice(1).entries())
      expect(part.endsWith(ends[index] ?? '')).toBe(true);
  });

  it('stays one line where many stages share a narrow one', () => {
    let text = '';
    const emit = createConsole({ write: (part) => (text += part), columns: () => 20 });
    for (let stage = 1; stage <= 9; stage += 1) emit(progress(1, `clip-${stage}`));
    for (const part of text.split('\r\x1b[2K')) expect(part.length).toBeLessThanOrEqual(19);
  });

  it('goes on where the clock is set back meanwhile', () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.UTC(2026, 10, 25) });
    let text = '';
    const emit = createConsole({ write: (part) => (text += part) });
    emit(progress(1));
    vi.advanceTimersByTime(11_000);
    vi.setSystemTime(Date.UTC(2026, 10, 24));
    emit(progress(2));
    vi.useRealTimers();
    expect(text.match(/ \d+\/100/g)).toEqual([' 1/100', ' 2/100']);
  });

  it('shares the line among stages that run side by side', () => {
    let text = '';
    const emit = createConsole({ write: (part) => (text += part), columns: () => 33 });
    emit(progress(1));
    emit(progress(7, 'inherit'));
    emit({ event: 'interrupted', id: 'mntp', message: 'stopped' });
    emit(progress(8, 'inherit'));
    expect(text.split('\r\x1b[2K').slice(1)).toEqual([
      '[1/1] mntp  1/100  1 %  2 min le',
      '[1/1] mntp  1/ | [1/1] inherit ',
      'stopped\n',
      '[1/1] inherit  8/100  8 %  2 min',
    ]);
  });

  it('says of a second upload how long that one takes', () => {
    let text = '';
    let now = 0;
    const emit = createConsole({ write: (part) => (text += part), now: () => now });
    const GIB = 2 ** 30;
    emit({ event: 'uploading', files: 0, of: 1, bytes: 0, of_bytes: 36 * GIB });
    now = 3_600_000;
    emit({ event: 'uploading', files: 1, of: 1, bytes: 36 * GIB, of_bytes: 36 * GIB });
    emit({ event: 'uploading', files: 0, of: 3, bytes: 0, of_bytes: 3 * GIB });
    now += 100_000;
    emit({ event: 'uploading', files: 1, of: 3, bytes: GIB, of_bytes: 3 * GIB });
    expect(text).toMatch(/1 of 3 files, .*, 3 min left\n$/);
  });

  it('prints a line every ten seconds without a terminal, and the last step', () => {
    let text = '';
    let now = 0;
    const emit = createConsole({ write: (part) => (text += part), now: () => now });
    for (let step = 1; step <= 100; step += 1) {
      now = step * 300;
      emit(progress(step));
    }
    expect(text.match(/ \d+\/100/g)).toEqual([' 1/100', ' 35/100', ' 69/100', ' 100/100']);
    expect(text).not.toContain('\x1b');
  });
});
