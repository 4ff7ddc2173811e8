// Work of a request on the thread that all requests share.
import type { Turn } from '../text/engine.ts';
import type { Tier } from './model.ts';

/**
 * What computes, which decides how long a token takes. The tokenizer's work is counted in UTF-16 code units, that of scores in
 * numbers of vectors that are multiplied.
 */
export type WorkKind = Tier | 'tokenizer' | 'scores';
export interface Work {
  kind: WorkKind;
  size: number;
}
/** Runs `work` in turns with other requests, or refuses it as `overloaded` where it would have to wait too long. */
export type Admit = <T>(work: Work, run: (turn?: Turn) => Promise<T>) => Promise<T>;
