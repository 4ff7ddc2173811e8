// Number of containers that share the elements of a stage on AWS: from the bytes of its sources, or as the recipe says. Pure.
import type { StageName } from '../../../contracts/src/stages.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import type { PairTars } from '../recipe/data-index.ts';

/** Bytes of tars for one container: with what it makes of them they fit its disk several times, and it takes minutes, not hours. */
const BYTES_A_CHILD = 16e9;
/** Batch's own limit. */
const MOST = 10_000;

export type ArraySizes = Partial<Record<StageName, number>>;

/**
 * By stage, the children of its array job; a stage that is one job has no entry. Loose images count for nothing: a table is read by
 * every child, so that it is the recipe that has to ask for them.
 */
export function arraySizes({ prepare, job_arrays }: Recipe, tars: PairTars): ArraySizes {
  if (prepare === undefined) return {};
  const derived = Math.min(Math.ceil(tars.bytes / BYTES_A_CHILD), tars.count, MOST);
  const size = job_arrays?.prepare ?? derived;
  // A child alone would be the job itself, twice.
  return size < 2 ? {} : { prepare: size };
}
