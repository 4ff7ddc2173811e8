// The timeline of the loop: a row for every step, told as soon as the step has ended.

export interface Row {
  event: 'step';
  /** Seconds from the beginning until the step began. */
  at: number;
  /** How long it took. */
  seconds: number;
  step: string;
  what: string;
  /** Requests that were answered, and that failed, until the step ended. */
  answered: number;
  failed: number;
}

export interface Counts {
  answered: number;
  failed: number;
}

export class Timeline {
  readonly #began = performance.now();
  readonly #onRow: (row: Row) => void;
  /** Of the load, once there is one. */
  counts: () => Counts = () => ({ answered: 0, failed: 0 });

  constructor(onRow: (row: Row) => void) {
    this.#onRow = onRow;
  }

  /** Seconds since the beginning. */
  now(): number {
    return (performance.now() - this.#began) / 1000;
  }

  /** Of a moment by the clock, in Unix seconds. */
  of(unix: number): number {
    return this.now() - (Date.now() / 1000 - unix);
  }

  /** `said`: what came of it, in words. */
  async step<T>(step: string, work: () => Promise<T>, said: (result: T) => string): Promise<T> {
    const at = this.now();
    const result = await work();
    this.note(step, said(result), at);
    return result;
  }

  /** A step that began at `at` and took so long (default: until now). */
  note(step: string, what: string, at: number, seconds = this.now() - at): void {
    this.#onRow({ event: 'step', at, seconds, step, what, ...this.counts() });
  }
}

const COLUMNS = { at: 7, seconds: 8, answered: 9, failed: 7, step: 9 } as const;

export const heading = (): string =>
  `${'at s'.padStart(COLUMNS.at)}${'took s'.padStart(COLUMNS.seconds)}${'answered'.padStart(COLUMNS.answered + 1)}${'failed'.padStart(COLUMNS.failed + 1)}  step      what`;

export function lineOf({ at, seconds, step, what, answered, failed }: Row): string {
  const figures = [
    at.toFixed(1).padStart(COLUMNS.at),
    seconds.toFixed(1).padStart(COLUMNS.seconds),
    String(answered).padStart(COLUMNS.answered + 1),
    String(failed).padStart(COLUMNS.failed + 1),
  ];
  return `${figures.join('')}  ${step.padEnd(COLUMNS.step)} ${what}`;
}
