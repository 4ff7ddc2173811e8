// An entry of the vector cache: the unit vector of a text or an image, and of an image what its file turned out to be.
import type { Computed, Outcome } from '../../core/encode/cache.ts';
import { CoreError } from '../../core/errors.ts';
import { isUnit } from '../../core/vectors/vectors.ts';

export interface Stored extends Computed {
  vector: Float32Array;
}

/** Errors and what is not finite are not stored. */
export function storable(outcome: Outcome): Stored | undefined {
  if (!outcome || outcome instanceof CoreError) return undefined;
  const { vector } = outcome;
  return vector && isUnit(vector) ? { ...outcome, vector } : undefined;
}
