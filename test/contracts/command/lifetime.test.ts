// A process notices that what started it has ended, however that happened.
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { alive } from '../../support/process-tree.ts';

const LIFETIME = pathToFileURL(join(import.meta.dirname, '../../../contracts/command/lifetime.ts')).href;

/** `npm` and its shell as two shells, with a program below them. Resolves when the program runs. */
async function start(watch: string, env: NodeJS.ProcessEnv) {
  const file = join(mkdtempSync(join(tmpdir(), 'edge-clip-lifetime-')), 'program.mjs');
  writeFileSync(
    file,
    `import { whenNpmEnds, whenOrphaned } from '${LIFETIME}';
${watch};
setInterval(() => {}, 1000);
console.log(process.pid, process.ppid);`,
  );
  const script = 'sh -c \'"$NODE" "$PROGRAM"; true\'; true';
  const npm = spawn('sh', ['-c', script], {
    env: { PATH: process.env.PATH, NODE: process.execPath, PROGRAM: file, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [program = 0, shell = 0] = await new Promise<number[]>((ready) => {
    createInterface({ input: npm.stdout }).once('line', (line) => ready(line.split(' ').map(Number)));
  });
  return { npm: npm.pid ?? 0, shell, program };
}

const NPM = { npm_lifecycle_event: 'start' };

test.each(['npm', 'shell'] as const)('a program of npm leaves when its %s is killed', async (which) => {
  const tree = await start('whenNpmEnds(process.env, () => process.exit())', NPM);
  process.kill(tree[which], 'SIGKILL');
  await expect.poll(() => alive([tree.program])).toEqual([]);
});

test('a child leaves when its parent is killed', async () => {
  const tree = await start('whenOrphaned(() => process.exit())', {});
  process.kill(tree.shell, 'SIGKILL');
  await expect.poll(() => alive([tree.program])).toEqual([]);
});

test('what npm did not start goes on', async () => {
  const tree = await start('whenNpmEnds(process.env, () => process.exit())', {});
  process.kill(tree.npm, 'SIGKILL');
  await new Promise((wait) => setTimeout(wait, 1500));
  expect(alive([tree.program])).toEqual([tree.program]);
  process.kill(tree.program, 'SIGKILL');
});
