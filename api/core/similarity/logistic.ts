// The logistic map from a cosine to a probability.
import type { Calibration } from '../../../contracts/src/model/manifest.ts';

export function logistic(score: number, { scale, bias }: Calibration): number {
  return 1 / (1 + Math.exp(-(scale * score + bias)));
}
