// A child process that ends: it is started again soon where it had run, and ever later where it never does.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { startProcess } from '../../../api/dev/local-process.ts';

test('a child that ends at once is started again after pauses that double, and not after the stop', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'child-'));
  const [file, starts] = [join(folder, 'child.mjs'), join(folder, 'starts')];
  writeFileSync(file, `import { appendFileSync } from 'node:fs'; appendFileSync(process.argv[2], Date.now() + ' ');`);
  const said = vi.spyOn(console, 'error').mockImplementation(() => {});
  const times = () => readFileSync(starts, 'utf8').trim().split(' ').map(Number);
  const { stop } = await startProcess({ file, words: [starts], name: 'it', consequence: 'Nothing else works.' });
  await expect.poll(() => times().length, { timeout: 15_000 }).toBe(3);
  await expect.poll(() => said.mock.calls.flat()).toHaveLength(3);
  const [first = 0, second = 0, third = 0] = times();
  expect([second - first >= 1000, third - second >= 2000]).toEqual([true, true]);
  expect(said.mock.calls.flat().at(-1)).toBe('it ended (0); starting it again in 4 s. Nothing else works.');
  await stop();
  await new Promise((done) => setTimeout(done, 4500));
  expect(times()).toHaveLength(3);
});
