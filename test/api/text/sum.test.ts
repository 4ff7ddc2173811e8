// Sums of a transformer's vectors and the static tier's, by hand.
import { expect, test } from 'vitest';
import type { Encode } from '../../../api/text/engine.ts';
import { addStatic } from '../../../api/text/sum.ts';

const always =
  (...values: number[]): Encode =>
  async (inputs) =>
    inputs.map(() => Float32Array.from(values));

test('a vector is the sum of both, the second times its weight, at unit length', async () => {
  const encode = addStatic(always(1, 0), { static: always(0, 1), weight: 0.75 });
  const [vector] = await encode([[1]]);
  expect(Array.from(vector ?? [], (value) => value.toFixed(6))).toEqual(['0.800000', '0.600000']);
});

test('a text without a vector in the static tier keeps that of the transformer', async () => {
  const encode = addStatic(always(1, 0), { static: always(Number.NaN, Number.NaN), weight: 1 });
  expect(await encode([[1]])).toEqual([Float32Array.of(1, 0)]);
});

test('turns are those of the transformer', async () => {
  const asked: number[] = [];
  const transformer: Encode = async (inputs, turn) => {
    await turn?.next(7);
    return inputs.map(() => Float32Array.of(1, 0));
  };
  const encode = addStatic(transformer, { static: always(0, 1), weight: 1 });
  await encode([[1]], { next: async (tokens) => void asked.push(tokens) });
  expect(asked).toEqual([7]);
});
