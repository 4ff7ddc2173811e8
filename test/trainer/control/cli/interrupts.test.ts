// Ctrl-C asks, and a second one forces; before anything runs it ends the command in a sentence.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it, vi } from 'vitest';
import { listenForInterrupts } from '../../../../trainer/control/cli/interrupts.ts';
import { createRepository } from '../../../support/tiny-repository.ts';

const TRAIN = join(import.meta.dirname, '../../../../trainer/control/cli/train.ts');
const SENTENCE = 'Stopped. Nothing is lost: run the same command again, and it goes on from here.';

afterEach(() => void vi.useRealTimers());

it.each([
  ['', 0],
  ['whose clock was set back meanwhile', -3_600_000],
])('the second press ends at once on a machine %s, and one that npm passes on does not', (_, jump) => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.UTC(2026, 10, 25) });
  // The only one of its signals that nothing else here listens for.
  const press = (): void => void process.emit('SIGHUP');
  const { signals, end } = listenForInterrupts({});
  press();
  press();
  expect([signals.stop.aborted, signals.kill.aborted]).toEqual([true, false]);
  vi.advanceTimersByTime(5_000);
  vi.setSystemTime(Date.now() + jump);
  press();
  end();
  expect(signals.kill.aborted).toBe(true);
});

it.each([
  ['SIGINT', [], { stderr: `${SENTENCE}\n` }],
  ['SIGTERM', ['--json'], { stderr: '', event: { event: 'interrupted', id: null, message: SENTENCE } }],
] as const)('%s while data is read for the plan, %j, says that nothing is lost', async (signal, options, said) => {
  const { root, recipeFile } = createRepository();
  // Holes: hours of reading that take no room.
  truncateSync(join(root, 'data/train-0.tar'), 2 ** 42);
  const child = spawn(process.execPath, [TRAIN, recipeFile, '--runs', join(root, 'runs'), ...options], {
    env: { ...process.env, CLIP_DATA: join(root, 'data') },
  });
  const stderr = text(child.stderr);
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    stdout += part;
  });
  await expect.poll(() => stdout, { timeout: 20_000 }).toMatch(/reading_data|Reading/);
  child.kill(signal);
  expect(await once(child, 'close')).toEqual([75, null]);
  expect(await stderr).toBe(said.stderr);
  if ('event' in said) expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual(said.event);
});
