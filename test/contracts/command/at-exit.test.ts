// Work left for the exit of a process: all of it is done, whatever one says, and nothing that was taken back.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const MODULE = join(import.meta.dirname, '../../../contracts/command/at-exit.ts');

test('of a dozen works each is done, without a warning of too many listeners', () => {
  const script = `
    const { atExit } = await import(${JSON.stringify(MODULE)});
    for (let at = 0; at < 12; at++) atExit(() => console.log(at));
    atExit(() => console.log('never'))();
    atExit(() => { throw new Error('no room'); });
    atExit(() => console.log('last'));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  expect(stdout.trim().split('\n')).toEqual([...Array(12).keys()].map(String).concat('last'));
  expect(stderr).toBe('no room\n');
  expect(status).toBe(0);
});
