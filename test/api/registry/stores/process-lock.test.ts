// Locks between processes: one holder at a time, dead holders are replaced, those of other machines only by age.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { isHolder, tryLock, waitForLock } from '../../../../api/registry/stores/process-lock.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';

const MODULE = join(import.meta.dirname, '../../../../api/registry/stores/process-lock.ts');
const OPTIONS = { roles: { owner: process.pid }, pollMs: 5, staleMs: 60_000 };

const CONTAINER = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', process.execPath];

const newLock = (): string => join(mkdtempSync(join(tmpdir(), 'lock-')), 'lock');

/** Runs code in a process of its own, with `lock` and `file`. */
function start(file: string, code: string, [command, ...before]: readonly string[] = [process.execPath]) {
  const source = `import * as lock from ${JSON.stringify(pathToFileURL(MODULE).href)};
    import { readFileSync, renameSync, writeFileSync } from 'node:fs';
    import { hostname } from 'node:os';
    const file = ${JSON.stringify(file)};
    ${code}`;
  return spawn(command ?? '', [...before, '--input-type=module', '-e', source], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

/** What link(2) says on FAT, exFAT and some shares. */
const WITHOUT_LINKS = `const { default: fs } = await import('node:fs');
  fs.linkSync = () => { throw Object.assign(new Error('EPERM'), { code: 'EPERM' }); };
  (await import('node:module')).syncBuiltinESMExports();`;

const ENDS: [string, string][] = [
  ['are released', 'held.release();'],
  // As a process that was killed leaves it: the next one takes it over, while others see the same.
  [
    'are left behind by the dead',
    `writeFileSync(file + process.pid, JSON.stringify({ host: hostname(), owner: { pid: 2 ** 30, started: null } }));
     renameSync(file + process.pid, file);`,
  ],
];

it.each(
  ENDS.flatMap(([how, end]) => [
    [how, end, ''],
    [`${how} on a disk without links`, end, WITHOUT_LINKS],
  ]),
)('are taken by one process at a time, however many wait, where they %s', async (_, end, before) => {
  const file = newLock();
  const counter = join(dirname(file), 'counter');
  writeFileSync(counter, '0');
  // Reading, waiting and writing loses counts unless the processes take turns.
  const code = `${before}
    for (let round = 0; round < 10; round++) {
      const held = await lock.waitForLock(file, { roles: { owner: process.pid }, pollMs: 1, staleMs: 60000 });
      const count = Number(readFileSync(${JSON.stringify(counter)}, 'utf8'));
      await new Promise((wake) => setTimeout(wake, 1));
      writeFileSync(${JSON.stringify(counter)}, String(count + 1));
      ${end}
    }`;
  const processes = [start(file, code), start(file, code), start(file, code), start(file, code)];
  expect(await Promise.all(processes.map((child) => once(child, 'exit')))).toEqual(processes.map(() => [0, null]));
  expect(readFileSync(counter, 'utf8')).toBe('40');
  expect(isHolder(tryLock(file, OPTIONS.roles))).toBe(false);
  expect(readdirSync(dirname(file)).toSorted()).toEqual(['counter', 'lock']);
});

it('is taken over from a process that was killed, without waiting for its age', async () => {
  const file = newLock();
  const child = start(file, 'lock.tryLock(file, { owner: process.pid }); setInterval(() => {}, 1000);');
  await expect.poll(() => existsSync(file)).toBe(true);
  const waiting = waitForLock(file, OPTIONS);
  child.kill('SIGKILL');
  (await waiting).release();
});

// A namespace of process numbers, as a container has; making one needs root.
it.skipIf(spawnSync('unshare', ['--pid', '--fork', 'true']).status !== 0)(
  'is not taken from a process of another container of the same name, and shows there that it lives',
  async () => {
    const file = newLock();
    const child = start(file, 'lock.tryLock(file, { owner: process.pid }); setInterval(() => {}, 1000);', CONTAINER);
    await expect.poll(() => existsSync(file)).toBe(true);
    expect(tryLock(file, OPTIONS.roles)).toMatchObject({ isHere: false, roles: { owner: 1 } });
    const longAgo = new Date(Date.now() - 600_000);
    utimesSync(file, longAgo, longAgo);
    await expect.poll(() => Date.now() - statSync(file).mtimeMs, { timeout: 15_000 }).toBeLessThan(60_000);
    expect(isHolder(tryLock(file, OPTIONS.roles))).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    utimesSync(file, longAgo, longAgo);
    expect(isHolder(tryLock(file, OPTIONS.roles))).toBe(false);
  },
);

it.skipIf(spawnSync('unshare', ['--pid', '--fork', 'true']).status !== 0)(
  'that another container took from a process which stood still is noticed, and left to it',
  async () => {
    const file = newLock();
    const mine = tryLock(file, OPTIONS.roles);
    if (isHolder(mine)) throw new Error('nobody else is there');
    mine.check();
    mine.assign('stage', process.pid);
    mine.check();
    const longAgo = new Date(Date.now() - 121_000);
    utimesSync(file, longAgo, longAgo);
    const child = start(file, 'lock.tryLock(file, { owner: process.pid }); setInterval(() => {}, 1000);', CONTAINER);
    const holder = () => JSON.parse(readFileSync(file, 'utf8'));
    await expect.poll(holder, { timeout: 4_000 }).toMatchObject({ owner: { pid: 1 } });
    const theirs = holder();
    // By its own next sign of life, or by whoever asks before writing.
    await expect.poll(() => mine.lost.aborted, { timeout: 6_000 }).toBe(true);
    expect(() => mine.check()).toThrow(UserError);
    expect(() => mine.check()).toThrow(/^.*lock: another process has taken this lock, .* Run the same command again$/);
    expect(() => mine.assign('stage', process.pid)).toThrow(UserError);
    mine.release();
    expect(holder()).toEqual(theirs);
    child.kill('SIGKILL');
  },
);

it('that was taken and let go by another process meanwhile is lost, too', () => {
  const file = newLock();
  const mine = tryLock(file, OPTIONS.roles);
  if (isHolder(mine)) throw new Error('nobody else is there');
  rmSync(file);
  expect(() => mine.check()).toThrow(UserError);
});

it('of another machine is waited for until it is too old, and the holder is told', async () => {
  const file = newLock();
  writeFileSync(file, JSON.stringify({ host: 'elsewhere', owner: { pid: 1, started: null } }));
  const holders: unknown[] = [];
  const waiting = waitForLock(file, { ...OPTIONS, onWait: (holder) => holders.push(holder) });
  await expect.poll(() => holders).toEqual([{ host: 'elsewhere', isHere: false, roles: { owner: 1 } }]);
  const longAgo = new Date(Date.now() - 61_000);
  utimesSync(file, longAgo, longAgo);
  (await waiting).release();
  expect(holders).toHaveLength(1);
});

it('is refused by the file system at once where it cannot be written', async () => {
  const file = newLock();
  writeFileSync(file, '');
  await expect(waitForLock(join(file, 'below'), OPTIONS)).rejects.toThrow(/ENOTDIR/);
});

it.each([
  ['long ago', -11_000],
  ['by a clock that is ahead', 3_600_000],
])('on a disk without links goes on where somebody died while taking it, %s', { timeout: 20_000 }, async (_, ms) => {
  const file = newLock();
  mkdirSync(`${file}.moving`);
  const then = new Date(Date.now() + ms);
  utimesSync(`${file}.moving`, then, then);
  const child = start(file, `${WITHOUT_LINKS} lock.tryLock(file, { owner: process.pid });`);
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(readdirSync(dirname(file))).toEqual(['lock']);
});

it('takes the place of a folder that an earlier version left as its lock', () => {
  const file = newLock();
  mkdirSync(file);
  const outcome = tryLock(file, { owner: process.pid });
  expect(isHolder(outcome)).toBe(false);
});
