// Checks that the text engine knows workerd as a host that compares addresses, so that the loop that reads less is taken there.
import { expect, test } from 'vitest';
import { comparesAddresses } from '../../../../api/text/wasm/kernels.ts';

test('workerd is known as a host that compares each address with the end of memory', () => {
  expect(comparesAddresses()).toBe(true);
});
