// A stage as a process: how it is ended, and what is said of an end that it did not choose.
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  runStageProcess,
  type StageEnd,
  type StageProcessOptions,
} from '../../../../trainer/control/local/stage-process.ts';

/** A stage whose interpreter is a shell script. */
function runScript(
  script: string,
  options: Partial<StageProcessOptions> = {},
): { folder: string; end: Promise<StageEnd> } {
  const folder = mkdtempSync(join(tmpdir(), 'stage-'));
  const python = join(folder, 'python');
  writeFileSync(python, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const end = runStageProcess({
    stage: 'mntp',
    jobFile: join(folder, 'job.json'),
    logFile: join(folder, 'log.txt'),
    python,
    ranks: 1,
    trainer: folder,
    contracts: folder,
    env: { PATH: process.env.PATH },
    stop: new AbortController().signal,
    kill: new AbortController().signal,
    onStart() {},
    onProgress() {},
    ...options,
  });
  return { folder, end };
}

it('ends a stage that the lock cannot name, so that none runs in a folder that another command may take', async () => {
  const { folder, end } = runScript('sleep 2; touch worked', {
    onStart() {
      throw new Error('ENOSPC: no space left on device');
    },
  });
  expect(await end).toMatchObject({ status: 'failed', message: expect.stringContaining('no space left on device') });
  await new Promise((later) => setTimeout(later, 2_500));
  expect(existsSync(join(folder, 'worked'))).toBe(false);
  expect(readFileSync(join(folder, 'log.txt'), 'utf8')).toContain('stages.mntp');
});

it.each([
  ['kill -KILL $$', 'killed by the system, most likely for memory'],
  // What engine.launch ends with where one of its processes is killed.
  ['exit 137', 'killed by the system, most likely for memory'],
  ['kill -BUS $$', 'the disk is full'],
  ['exit 139', 'ended by SIGSEGV'],
  ['exit 3', 'exit 3; the lines above say why'],
])('says what %s means', async (script, message) => {
  expect(await runScript(script).end).toMatchObject({ status: 'failed', message: expect.stringContaining(message) });
});

it('says that work is lost where the system kills a stage that is about to stop', async () => {
  const stop = new AbortController();
  const { end } = runScript("trap 'kill -KILL $$' TERM; echo ready; while :; do sleep 0.1; done", {
    stop: stop.signal,
  });
  setTimeout(() => stop.abort(), 500);
  expect(await end).toEqual({ status: 'interrupted', lost: true });
});
