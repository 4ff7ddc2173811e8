// The static tier: the mean of the rows of a text's known tokens at unit length. No graph.
import { cutAndNormalise } from '../../core/vectors/vectors.ts';
import type { Encode, RowSums, TokenIds } from '../engine.ts';
import type { Table } from '../table.ts';

export interface StaticOptions {
  /** Ids whose rows say nothing of a text: special tokens, and the one that stands for what the vocabulary does not have. */
  silent: readonly number[];
}

export function createStaticEncode({ sum, need }: Pick<RowSums, 'sum' | 'need'>, { silent }: StaticOptions): Encode {
  const isSilent = (id: number): boolean => silent.includes(id);
  const known = (ids: TokenIds): TokenIds => (ids.some(isSilent) ? ids.filter((id) => !isSilent(id)) : ids);
  return async function encodeStatically(inputs, turn) {
    const texts = inputs.map(known);
    // Where there is nothing to wait for nothing is: a text takes some ten microseconds, of which an await is a good part.
    const reading = need?.(texts);
    if (reading !== undefined) await reading;
    const vectors: Float32Array[] = [];
    for (const ids of texts) {
      if (turn) await turn.next(ids.length);
      // Dividing by the count first would change nothing, because the result is brought to unit length.
      const whole = sum(ids);
      vectors.push(cutAndNormalise(whole, whole.length));
    }
    return vectors;
  };
}

/** Sums of rows in TypeScript, for hosts whose engine has none. */
export function sumsOf(table: Table, projection?: Table): RowSums {
  return {
    sum(ids) {
      const sum = new Float32Array(table.width);
      for (const id of ids) table.addRow(id, sum);
      return projection ? projection.product(sum) : sum;
    },
    close() {},
  };
}
