// Our text engine in runtimes beside workerd and Chromium: Node always, Deno and Bun where they are installed (`npm install --no-save deno@2.9.6 bun@1.4.5`).
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const PROGRAM = join(ROOT, 'test/support/golden-cosines.ts');
const RUNTIMES = [
  { name: 'node', command: process.execPath, options: [] },
  // Reads package.json's dependencies where npm has put them, and writes nothing.
  {
    name: 'deno',
    command: 'deno',
    options: ['run', '--allow-read', '--allow-env', '--no-lock', '--node-modules-dir=manual'],
  },
  { name: 'bun', command: 'bun', options: ['--no-install'] },
];
const env = { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}` };

for (const { name, command, options } of RUNTIMES) {
  test.skipIf(!isThere(command))(`the golden vectors of every tier are reproduced in ${name}`, async () => {
    const { stdout } = await promisify(execFile)(command, [...options, PROGRAM], { cwd: ROOT, env });
    const { texts, least } = JSON.parse(stdout);
    expect(texts).toBe(10);
    expect(least).toBeGreaterThan(0.995);
  });
}

function isThere(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { env, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
