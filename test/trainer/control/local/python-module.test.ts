// A Python module as it is started: what it finds in its environment.
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { startModule } from '../../../../trainer/control/local/python-module.ts';
import { trainerPython } from '../../../support/python.ts';

const TRAINER = join(import.meta.dirname, '../../../../trainer');

it.each([
  [{}, '1000'],
  [{ GOMP_SPINCOUNT: '0' }, '0'],
])('threads that wait soon sleep, unless the environment says otherwise: %j', async (env, rounds) => {
  const args = ['-c', 'import os; print(os.environ["GOMP_SPINCOUNT"])'];
  const child = startModule({ python: await trainerPython(), args, trainer: TRAINER, contracts: TRAINER, env });
  expect(await text(child.stdout)).toBe(`${rounds}\n`);
});
