// Relative paths of a command start from the folder in which it was typed, whoever starts it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const DOCS = join(ROOT, 'docs');

test.each([
  ['npm, which starts it in the repository', 'npm', ['start', '--silent', '--', '--model', 'none'], DOCS],
  ['a program that npm has started elsewhere', process.execPath, ['../api/dev/serve.ts', '--model', 'none'], ROOT],
])('by %s', (_, command, words, INIT_CWD) => {
  const { stderr, status } = spawnSync(command, words, {
    cwd: DOCS,
    env: { ...process.env, INIT_CWD },
    encoding: 'utf8',
  });
  expect(stderr).toContain(`${join(DOCS, 'none')} holds no model`);
  expect(status).toBe(2);
});
