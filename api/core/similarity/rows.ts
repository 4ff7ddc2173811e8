// Computes rows of comparisons, with turns of other requests in between where they are many.
import type { Admit } from '../work.ts';

/** Numbers that are multiplied at once, about two milliseconds' work; what has no more in all is not worth a turn. */
const BLOCK = 1 << 20;

/** `width`: numbers that a row multiplies. */
export async function rowsInTurns<T>(
  admit: Admit,
  { rows, width }: { rows: number; width: number },
  compute: (row: number) => T,
): Promise<T[]> {
  const all = Array.from({ length: rows }, (_, row) => row);
  if (rows * width <= BLOCK) return all.map(compute);
  return admit({ kind: 'scores', size: rows * width }, async (turn) => {
    const computed: T[] = [];
    const perTurn = Math.max(1, Math.floor(BLOCK / width));
    for (let row = 0; row < rows; row += perTurn) {
      const some = all.slice(row, row + perTurn);
      await turn?.next(some.length * width);
      computed.push(...some.map(compute));
    }
    return computed;
  });
}
