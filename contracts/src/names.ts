// Patterns of names that are parts of keys, file names and addresses, each written once; how far two names are apart.
import { z } from 'zod';

const name = (length: number) => z.string().regex(new RegExp(`^[a-z0-9][a-z0-9._-]{0,${length - 1}}$`));

/** A published model, and the first part of its keys. */
export const ModelName = name(64);

/** A training recipe: the folder of its runs and the key of its last request. */
export const RecipeName = name(64);

/** A variant of a recipe, and a part of the ids of its jobs. */
export const VariantName = z.string().regex(/^[a-z0-9][a-z0-9_]{0,31}$/);

/** One job of a plan: a stage, or a run for a comparison such as `clip-control-2`. */
export const JobId = name(128);

/** An AWS Batch job; Batch allows no dots. */
export const BatchJobName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/);

/**
 * Insertions, deletions, replacements and swaps of neighbours that lead from one to the other (optimal string alignment);
 * more than `limit` is one more.
 */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current[column] = Math.min(
        (above[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + (isSame ? 0 : 1),
        isSwap ? (before[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [before, above] = [above, current];
  }
  return above[b.length] ?? 0;
}
