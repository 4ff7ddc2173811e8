// A test that is here for a moment.
import { expect, test } from 'vitest';

test('is (one)', () => expect(1).toBe(1));
test('is two', () => expect(2).toBe(2));
