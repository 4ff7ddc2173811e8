// Answers held against the models that they name: each is opened from its published files, by itself, and asked the same again.
import { openBulkEncoder } from '../../api/bulk/model.ts';
import { chooseBuild } from '../../api/text/wasm/modules.ts';
import { furthest } from '../support/steady-load.ts';

/** An image is base64. The same image is the same object, so that it is computed once. */
export type Input = string | { image: string };

export interface Answer {
  input: readonly Input[];
  space_id: string;
  vectors: number[][];
}

/** By space, the folder with the model's manifest and files. */
export type Folders = ReadonlyMap<string, string>;

/** The text engine as the Worker chooses it: its two builds round in other places. */
const TEXT_MODULE = chooseBuild({
  relaxed: new URL('../../api/text/wasm/encoder.relaxed.wasm', import.meta.url),
  plain: new URL('../../api/text/wasm/encoder.wasm', import.meta.url),
});
/** Vectors of one space, computed twice. */
const TOLERANCE = 1e-4;
/** So far two spaces have to lie apart at every input, or an answer under the wrong name would not be seen. */
export const LEAST_APART = 100 * TOLERANCE;
/** Most inputs of a call. */
const BATCH = 64;

/** `wrong`: answers whose vectors are not their space's. `apart`: the least distance between two spaces at an input of both. */
export async function judge(answers: readonly Answer[], folders: Folders): Promise<{ wrong: number; apart: number }> {
  const spaces = Map.groupBy(answers, ({ space_id }) => space_id);
  const known: ReadonlyMap<Input, number[]>[] = [];
  let wrong = 0;
  for (const [space, given] of spaces) {
    const folder = folders.get(space);
    const vectors = folder === undefined ? new Map<Input, number[]>() : await vectorsIn(folder, given);
    known.push(vectors);
    wrong += given.filter((answer) => !isOf(answer, vectors)).length;
  }
  return { wrong, apart: leastApart(known) };
}

const isOf = ({ input, vectors }: Answer, known: ReadonlyMap<Input, number[]>): boolean =>
  furthest(
    vectors,
    input.map((item) => known.get(item) ?? []),
  ) < TOLERANCE;

/** The vector of every input of these answers by the model in the folder. */
async function vectorsIn(folder: string, answers: readonly Answer[]): Promise<Map<Input, number[]>> {
  const inputs = [...new Set(answers.flatMap(({ input }) => input))];
  const found = new Map<Input, number[]>();
  const encoder = await openBulkEncoder({ folder, textModule: TEXT_MODULE });
  try {
    for (let at = 0; at < inputs.length; at += BATCH) {
      const some = inputs.slice(at, at + BATCH);
      const { embedded } = await encoder.answer({ input: some });
      for (const [i, input] of some.entries()) found.set(input, [...(embedded[i]?.embedding ?? [])]);
    }
  } finally {
    await encoder.close();
  }
  return found;
}

/** Infinite where only one space answered, or none of an input of both. */
function leastApart(known: readonly ReadonlyMap<Input, number[]>[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const [at, one] of known.entries())
    for (const other of known.slice(at + 1))
      for (const [input, vector] of one) {
        const second = other.get(input);
        // Spaces of different lengths cannot be taken for each other.
        if (second?.length === vector.length) least = Math.min(least, furthest([vector], [second]));
      }
  return least;
}
