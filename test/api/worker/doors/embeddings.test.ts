// A vector that is asked for in several types is turned and cut to whole numbers once, whoever's interface asks.
import { beforeEach, expect, test, vi } from 'vitest';
import { rotate } from '../../../../api/core/vectors/rotation.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

vi.mock(import('../../../../api/core/vectors/rotation.ts'), async (original) => {
  const real = await original();
  return { ...real, rotate: vi.fn(real.rotate) };
});

const { post } = appOf(await tableModel());
beforeEach(() => void vi.mocked(rotate).mockClear());

test.each([
  ['/embed', { input: ['a dog', 'a cat'], types: ['binary', 'ubinary'] }],
  ['/v2/embed', { texts: ['a dog', 'a cat'], input_type: 'search_query', embedding_types: ['binary', 'ubinary'] }],
  ['/v1/embeddings', { input: ['a dog', 'a cat'], embedding_type: ['binary', 'ubinary'] }],
])('%s turns each vector once for both types of bits', async (path, body) => {
  const response = await post(path, { model: STATIC, ...body });
  expect([response.status, vi.mocked(rotate).mock.calls.length]).toEqual([200, 2]);
  const written = await response.text();
  for (const type of ['binary', 'ubinary']) expect(written).toContain(`"${type}":[`);
});
