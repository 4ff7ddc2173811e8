// Options that are numbers: what is taken, and the sentence for what is not.
import { expect, test } from 'vitest';
import { numberOf, wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

test.each([
  ['0', 0],
  [' 7 ', 7],
  ['1_000_000', 1_000_000],
  ['2e3', 2000],
])('a whole number may be written %j', (text, value) => {
  expect(wholeNumberOf('--steps', text, { from: 0, to: 1e6 })).toBe(value);
});

test.each([
  ['0.15', 0.15],
  ['.5', 0.5],
  ['1e-1', 0.1],
])('a number may be written %j', (text, value) => {
  expect(numberOf('--share', text, { from: 0, to: 1 })).toBe(value);
});

test.each(['', ' ', 'many', '0x10', '1_', '1.5', '1,5', 'Infinity', '-1', '0', '11'])('%j is refused', (text) => {
  const read = () => wholeNumberOf('--steps', text, { from: 1, to: 10 });
  expect(read).toThrow(new UserError(`--steps ${text}: a whole number from 1 to 10`));
});

test('without an upper end a whole number stays exact', () => {
  expect(wholeNumberOf('--seed', '9007199254740991', { from: 0 })).toBe(2 ** 53 - 1);
  expect(() => wholeNumberOf('--seed', '9007199254740992', { from: 0 })).toThrow('a whole number from 0 on');
  expect(() => numberOf('--minutes', '0', { from: 0.1 })).toThrow('--minutes 0: a number from 0.1 on');
});

test('what is not given has no number', () => {
  expect(wholeNumberOf('--steps', undefined, { from: 1 })).toBeUndefined();
  expect(numberOf('--share', undefined, { from: 0 })).toBeUndefined();
});
