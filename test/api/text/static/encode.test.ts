// The static tier by hand: means of scaled rows at unit length, and a stop between texts.
import { expect, test } from 'vitest';
import { createStaticEncode, sumsOf } from '../../../../api/text/static/encode.ts';
import { tableOf } from '../tables.ts';

const UNKNOWN = 2;
const encode = createStaticEncode(
  sumsOf(
    tableOf(
      [
        [3, 0],
        [0, -8],
        [7, 7],
      ],
      [1, 0.5, 1],
    ),
  ),
  { silent: [UNKNOWN] },
);

test('a vector is the mean of its rows, each times its scale, at unit length', async () => {
  const vectors = await encode([[0], [1], [0, 1], [0, 0, 1, 1]]);
  expect(vectors.map((vector) => Array.from(vector, (value) => value.toFixed(3)))).toEqual([
    ['1.000', '0.000'],
    ['0.000', '-1.000'],
    ['0.600', '-0.800'],
    ['0.600', '-0.800'],
  ]);
});

test('an unknown token adds nothing', async () => {
  const [whole, without] = await encode([
    [0, UNKNOWN, 1],
    [0, 1],
  ]);
  expect(whole).toEqual(without);
});

test('a sum of narrow rows is projected, and brought to unit length after that', async () => {
  const rows = tableOf(
    [
      [1, 0],
      [0, 2],
    ],
    [1, 1],
  );
  // Columns of the table become (4, 0, 3) and (0, 1, 0): 4, 2 * 1, 3 before the length is taken.
  const projection = tableOf(
    [
      [8, 0, 6],
      [0, 1, 0],
    ],
    [0.5, 1],
  );
  const narrow = createStaticEncode(sumsOf(rows, projection), { silent: [] });
  const [vector] = await narrow([[0, 1]]);
  const length = Math.sqrt(16 + 4 + 9);
  for (const [i, value] of [4, 2, 3].entries()) expect(vector?.[i]).toBeCloseTo(value / length, 6);
  expect(vector).toHaveLength(3);
});

test('a token outside the table is an error and not a zero', async () => {
  await expect(encode([[3]])).rejects.toThrow('token 3 is outside the table of 3 rows');
});

test('nothing is encoded for a client that has gone away', async () => {
  const next = () => Promise.reject(new Error('gone'));
  await expect(encode([[0]], { next })).rejects.toThrow('gone');
});

test('a projection may have any number of rows', async () => {
  const odd = [1, 0];
  const even = [0, 1];
  const projection = tableOf([odd, even, odd, even, odd, even], [1, 1, 1, 1, 1, 1]);
  const project = createStaticEncode(sumsOf(tableOf([[1, 2, 3, 4, 5, 6]], [1]), projection), { silent: [] });
  // 1 + 3 + 5 and 2 + 4 + 6, at unit length.
  expect(Array.from((await project([[0]]))[0] ?? [], (value) => value.toFixed(4))).toEqual(['0.6000', '0.8000']);
});
