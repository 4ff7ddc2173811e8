// A steady load on a local server: one question after the other, each answer kept, and how far vectors lie apart.

export interface Asking<T> {
  answers: T[];
  failures: unknown[];
  /** Lets the question that is under way end. */
  stop(): Promise<void>;
}

/** Asks again and again, never twice at a time, until told to stop. */
export function ask<T>(question: () => Promise<T>, pauseMs = 0): Asking<T> {
  const answers: T[] = [];
  const failures: unknown[] = [];
  let isOver = false;
  const done = (async () => {
    while (!isOver) {
      await question().then(
        (answer) => answers.push(answer),
        (error: unknown) => failures.push(error),
      );
      if (pauseMs > 0) await new Promise((wait) => setTimeout(wait, pauseMs));
    }
  })();
  const stop = () => {
    isOver = true;
    return done;
  };
  return { answers, failures, stop };
}

/** The largest difference between two numbers in the same place; NaN where `b` lacks one. */
export const furthest = (a: number[][], b: number[][]): number =>
  Math.max(...a.flatMap((row, i) => row.map((x, j) => Math.abs(x - (b[i]?.[j] ?? Number.NaN)))));
