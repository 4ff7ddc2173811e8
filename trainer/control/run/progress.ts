// Progress of one stage: its lines, how long it still takes, and how a person reads it. Pure.
import { readEvent } from '../../../contracts/src/events.ts';
import { ProgressLine } from '../../../contracts/src/training/job.ts';

/** The rate comes from the last five minutes, so that a slow start or a cache that filled does not mislead for hours. */
const WINDOW_SECONDS = 300;

/**
 * A stage that goes through files counts from one again when it resumes, also those that it finished before, in no time:
 * a first rate as many times that of what follows is theirs, and says nothing of the rest.
 */
const REPEATED = 10;
/** Lines come every two seconds while steps are fast; many steps in a longer time are fast ones and then a slow one. */
const SLOW_SECONDS = 10;

/** A line of a stage's standard output as progress; undefined where it is something else. */
export function parseProgress(line: string): ProgressLine | undefined {
  return readEvent(ProgressLine, line);
}

export interface ProgressClock {
  /** Seconds until the stage ends, after this line; undefined until two lines of one loop give a rate. */
  secondsLeft(line: ProgressLine): number | undefined;
}

/** A stage may loop more than once (another `total`, or steps that start again): each loop has its own rate. */
export function createProgressClock(): ProgressClock {
  let lines: ProgressLine[] = [];
  return {
    secondsLeft(line) {
      const last = lines.at(-1);
      if (last !== undefined && (last.total !== line.total || line.step < last.step)) lines = [];
      lines.push(line);
      while (lines.length > 2 && line.seconds - (lines[1]?.seconds ?? 0) > WINDOW_SECONDS) lines.shift();
      if (startsWithRepeated(lines)) lines.shift();
      const [first] = lines;
      if (first === undefined || line.step <= first.step) return undefined;
      return ((line.seconds - first.seconds) / (line.step - first.step)) * (line.total - line.step);
    },
  };
}

/** Whether what follows the first line was done before; of two lines, whether it may have been. */
function startsWithRepeated(lines: readonly ProgressLine[]): boolean {
  const [first, second] = lines;
  const last = lines.at(-1);
  if (first?.step !== 1 || second === undefined || last === undefined) return false;
  const [steps, seconds] = [second.step - first.step, second.seconds - first.seconds];
  if (last === second) return steps > 1 && seconds > SLOW_SECONDS;
  return steps * (last.seconds - second.seconds) > REPEATED * seconds * (last.step - second.step);
}

/** `45 s`, `12 min`, `1 h 05 min`. */
export function durationText(seconds: number): string {
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

export interface ProgressView {
  id: string;
  number: number;
  of: number;
  step: number;
  total: number;
  metrics: Record<string, number>;
  seconds_left: number | null;
}

/** `[2/9] mntp  40/100  40 %  loss 3.21  2 min left` */
export function progressText({ id, number, of, step, total, metrics, seconds_left }: ProgressView): string {
  const parts = [`[${number}/${of}] ${id}`, `${step}/${total}`, `${Math.floor((100 * step) / total)} %`];
  const values = Object.entries(metrics).map(([name, value]) => `${name} ${metricText(value)}`);
  if (values.length > 0) parts.push(values.join(' '));
  if (seconds_left !== null) parts.push(`${durationText(seconds_left)} left`);
  return parts.join('  ');
}

/** Four significant digits, no padding zeros. */
export function metricText(value: number): string {
  return String(Number(value.toPrecision(4)));
}
