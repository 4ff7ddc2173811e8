// One runner a folder: held while a process lives, taken over when it is gone.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lockRun } from '../../../../trainer/control/local/run-lock.ts';
import { createRepository, startTrain } from '../../../support/tiny-repository.ts';

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'lock-'));
}

/** The id of a process that has ended. */
async function deadProcess(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  return child.pid ?? 0;
}

function leaveLock(folder: string, lock: object): void {
  writeFileSync(join(folder, 'lock.json'), JSON.stringify({ host: hostname(), stage: null, ...lock }));
}

it('refuses a second runner while the first holds the folder, and leaves nothing behind when it lets go', () => {
  const folder = newFolder();
  const lock = lockRun(folder);
  expect(() => lockRun(folder)).toThrow(
    `${folder} is in use: another runner (process ${process.pid}) is at work there`,
  );
  lock.release();
  lockRun(folder).release();
  expect(readdirSync(folder)).toEqual([]);
});

it('takes over the lock of a dead runner, of a number that another process has now, and of half a file', async () => {
  const folder = newFolder();
  leaveLock(folder, { runner: { pid: await deadProcess(), started: '1' } });
  lockRun(folder).release();
  leaveLock(folder, { runner: { pid: process.pid, started: '1' } });
  lockRun(folder).release();
  writeFileSync(join(folder, 'lock.json'), '{"host":');
  lockRun(folder).release();
  expect(existsSync(join(folder, 'lock.json'))).toBe(false);
});

it('does not take over while the stage of a dead runner still writes there', async () => {
  const folder = newFolder();
  const stage = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
  const lock = lockRun(folder);
  lock.holdFor(stage.pid ?? 0);
  const held = JSON.parse(readFileSync(join(folder, 'lock.json'), 'utf8'));
  leaveLock(folder, { runner: { pid: await deadProcess(), started: '1' }, stage: held.stage });
  expect(() => lockRun(folder)).toThrow(`stop it with: kill ${stage.pid}`);
  stage.kill('SIGKILL');
  await once(stage, 'exit');
  lockRun(folder).release();
});

it('cannot judge a runner on another machine and says which file to delete', () => {
  const folder = newFolder();
  leaveLock(folder, { host: 'elsewhere', runner: { pid: 1, started: null } });
  expect(() => lockRun(folder)).toThrow(
    'a runner on elsewhere (process 1) holds lock.json; if it is gone, delete that file',
  );
});

it('leaves a runner in another container of this name its folder while it shows that it lives', async () => {
  const folder = newFolder();
  const runner = { pid: await deadProcess(), started: '1' };
  leaveLock(folder, { numbers: '6e2d5c1c-0000-4000-8000-000000000000 pid:[1]', runner });
  expect(() => lockRun(folder)).toThrow(
    `a runner in another container, or from before a restart (process ${runner.pid}), holds lock.json; ` +
      'once it is gone, its lock is taken over after 2 minutes',
  );
  const longAgo = new Date(Date.now() - 121_000);
  utimesSync(join(folder, 'lock.json'), longAgo, longAgo);
  lockRun(folder).release();
});

it('a command whose folder another container took ends its stage at once, and leaves the folder to it', {
  timeout: 60_000,
}, async () => {
  const repository = createRepository();
  const words = ['recipes/tiny.json', '--to', 'mntp', '--json'];
  // The stage would take eight seconds more, and save its work when asked to end.
  const command = startTrain(repository.root, words, { SLOW_STAGE: 'mntp' });
  await command.prints('"step":5,');
  const [folder = ''] = repository.folders('mntp');
  const numbers = '6e2d5c1c-0000-4000-8000-000000000000 pid:[1]';
  leaveLock(folder, { numbers, runner: { pid: 1, started: '1' } });
  const theirs = readFileSync(join(folder, 'lock.json'), 'utf8');
  const { code, stdout } = await command.ended;
  expect(code).toBe(2);
  expect(stdout).toMatch(/"event":"refused".*lock\.json: another process has taken this lock/);
  expect(readFileSync(join(folder, 'lock.json'), 'utf8')).toBe(theirs);
  expect(readdirSync(folder)).not.toContain('checkpoint.pt');
  expect(repository.steps('mntp').length).toBeLessThan(400);
});
