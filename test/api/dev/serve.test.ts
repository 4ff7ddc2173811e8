// `npm start`: whoever gets the signal, nothing stays behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { alive, commandOf, treeOf } from '../../support/process-tree.ts';

const ROOT = join(import.meta.dirname, '../../..');
let started: number[] = [];
afterEach(() => {
  for (const pid of alive(started)) process.kill(pid, 'SIGKILL');
});

/** npm, its shell, the server, workerd, the encoder: resolves when the model is ready. */
async function npmStart(): Promise<{ npm: ChildProcess; port: number }> {
  const npm = spawn('npm', ['start', '--silent', '--', '--port', '0'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    // A signal for npm is for npm alone, as from a service manager.
    detached: true,
  });
  const port = await new Promise<number>((ready, fail) => {
    npm.once('exit', (code) => fail(new Error(`npm start ended with ${code}`)));
    createInterface({ input: npm.stdout }).on('line', (line) => {
      const url = line.match(/ is ready on (http:\S+)$/)?.[1];
      if (url) ready(Number(new URL(url).port));
    });
  });
  npm.removeAllListeners('exit');
  started = treeOf(npm.pid ?? 0);
  return { npm, port };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer();
    probe.once('error', () => done(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
  });
}

const running = (name: string): number | undefined => started.find((pid) => commandOf(pid).includes(name));

async function nothingIsLeft(port: number): Promise<void> {
  await expect.poll(() => alive(started).map(commandOf)).toEqual([]);
  await expect.poll(() => isFree(port)).toBe(true);
}

test.each(['SIGTERM', 'SIGHUP', 'SIGKILL'] as const)('%s for npm alone ends all of it', async (signal) => {
  const { npm, port } = await npmStart();
  expect(running('workerd')).toBeDefined();
  expect(running('encoder/hosts/server.ts')).toBeDefined();
  npm.kill(signal);
  await nothingIsLeft(port);
});

test('Ctrl-C, which a terminal sends to every process, ends all of it', async () => {
  const { npm, port } = await npmStart();
  process.kill(-(npm.pid ?? 0), 'SIGINT');
  await nothingIsLeft(port);
});

test('a signal for the server alone ends all of it', async () => {
  const { port } = await npmStart();
  process.kill(serverOf(started), 'SIGHUP');
  await nothingIsLeft(port);
});

test('a killed server leaves neither workerd nor the encoder', async () => {
  const { port } = await npmStart();
  process.kill(serverOf(started), 'SIGKILL');
  await nothingIsLeft(port);
});

function serverOf(pids: readonly number[]): number {
  const server = pids.find((pid) => /^\S*node \S*serve\.ts/.test(commandOf(pid)));
  if (server === undefined) throw new Error(`there is no server among ${pids.map(commandOf)}`);
  return server;
}
