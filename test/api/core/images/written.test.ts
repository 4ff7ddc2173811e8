// Images written as text, in Node, whose regular expressions have no bound of their own as workerd's do.
import { expect, test } from 'vitest';
import { imageBytes } from '../../../../api/core/images/check.ts';

// At a time that grows with the square of their number, a million would take ten minutes.
test('a text of as many = as a request holds is refused in time that grows as the text does', () => {
  expect(() => imageBytes(`${'='.repeat(1_000_000)}A`)).toThrow(/= stands within/);
});
