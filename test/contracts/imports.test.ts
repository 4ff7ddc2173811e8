// The contracts import nothing of ours: every other part may rest on them.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const files = (folder: string, ending: string): string[] =>
  execFileSync('git', ['ls-files', folder], { cwd: ROOT, encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter((file) => file.endsWith(ending));
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

it.each(files('contracts/src', '.ts'))('%s imports zod and files beside it only', (file) => {
  const imported = [...text(file).matchAll(/^(?:import|export) [^;]*?from '([^']+)'/gm)].map(([, path = '']) =>
    path.startsWith('.') ? normalize(join(dirname(file), path)) : path,
  );
  const ofZod = (path: string): boolean => path === 'zod' || path.startsWith('zod/');
  expect(imported.filter((path) => !ofZod(path) && !path.startsWith('contracts/src/'))).toEqual([]);
});

it.each(files('contracts', '.py'))('%s imports no package of ours', (file) => {
  const imported = [...text(file).matchAll(/^\s*(?:from|import) (\w+)/gm)].map(([, name = '']) => name);
  expect(imported.filter((name) => ['container', 'stages', 'support', 'towers', 'sys'].includes(name))).toEqual([]);
});
