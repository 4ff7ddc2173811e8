// A Python module as it is started: what it finds in its environment.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { startModule } from '../../../../trainer/control/local/python-module.ts';
import { trainerPython } from '../../../support/python.ts';

const TRAINER = join(import.meta.dirname, '../../../../trainer');

it.each([
  [{}, '10000'],
  [{ GOMP_SPINCOUNT: '0' }, '0'],
])('threads that wait soon sleep, unless the environment says otherwise: %j', async (env, rounds) => {
  const args = ['-c', 'import os; print(os.environ["GOMP_SPINCOUNT"])'];
  const child = startModule({ python: await trainerPython(), args, trainer: TRAINER, contracts: TRAINER, env });
  expect(await text(child.stdout)).toBe(`${rounds}\n`);
});

const TCMALLOC = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'].some((folder) =>
  existsSync(`${folder}/libtcmalloc_minimal.so.4`),
);

it.each([
  [{}, TCMALLOC],
  [{ LD_PRELOAD: '' }, false],
])('memory comes from tcmalloc where it is installed, unless the environment says otherwise: %j', async (env, is) => {
  const args = ['-c', 'print("libtcmalloc_minimal" in open("/proc/self/maps").read())'];
  const child = startModule({ python: await trainerPython(), args, trainer: TRAINER, contracts: TRAINER, env });
  expect(await text(child.stdout)).toBe(is ? 'True\n' : 'False\n');
});
