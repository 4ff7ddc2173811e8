// The static tier by hand: means of scaled rows at unit length, and a stop between texts.
import { expect, test } from 'vitest';
import { createStaticEncode } from '../../../../api/text/static/encode.ts';
import { tableOf } from '../tables.ts';

const UNKNOWN = 2;
const encode = createStaticEncode(
  tableOf(
    [
      [3, 0],
      [0, -8],
      [7, 7],
    ],
    [1, 0.5, 1],
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

test('a token outside the table is an error and not a zero', async () => {
  await expect(encode([[3]])).rejects.toThrow('token 3 is outside the table of 3 rows');
});

test('nothing is encoded for a client that has gone away', async () => {
  const next = () => Promise.reject(new Error('gone'));
  await expect(encode([[0]], { next })).rejects.toThrow('gone');
});
