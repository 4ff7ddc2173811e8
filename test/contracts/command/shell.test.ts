// Words of printed command lines, read back by a shell.
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { shellWord } from '../../../contracts/command/shell.ts';

it.each(['plain', '../my runs/a.json', "it's", '$HOME', '~/x', '`ls`', 'a"b', 'für', '', 'a\\b', '*', 'x;y'])(
  'a shell reads %j as it was',
  (word) => {
    expect(execFileSync('sh', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' })).toBe(word);
  },
);

it('leaves a path without such letters as it is', () => {
  expect(shellWord('runs/shop/adapt-0a1b.json')).toBe('runs/shop/adapt-0a1b.json');
});
