// Programs of a deployment: arguments as they are given, a log without secrets, and the end of a failure as the reason.
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { programsOf } from '../../../infra/deploy/programs.ts';

function open({ stop = new AbortController().signal } = {}) {
  const log = join(mkdtempSync(join(tmpdir(), 'log ')), 'programs.log');
  const lines: string[] = [];
  const run = programsOf({ root: tmpdir(), env: process.env, log, onLine: (line) => void lines.push(line), stop });
  return { log, lines, run };
}
const PRINT = 'console.log(JSON.stringify(process.argv.slice(1)));';

it('hands every argument on as one, whatever a shell would make of it', async () => {
  const { run } = open();
  const args = ['$(echo no)', 'two words', '"quoted"', '; exit 1', '*'];
  expect(JSON.parse(await run('node', ['-e', PRINT, '--', ...args]))).toEqual(args);
});

it('logs what was run and printed, and nothing of what is secret, in or out', async () => {
  const { run, log, lines } = open();
  expect(await run('node', ['-e', 'console.error("a note"); console.log("a result")'])).toBe('a result');
  expect(await run('node', ['-e', 'console.log("the key")'], { secret: true })).toBe('the key');
  const echo = 'process.stdin.on("data", (data) => console.log(data.toString().length))';
  expect(await run('node', ['-e', echo], { input: 'password' })).toBe('8');
  expect(existsSync(log)).toBe(true);
  const text = readFileSync(log, 'utf8');
  expect(text).toContain('a note\n');
  expect(text).toContain('a result\n');
  expect(text).not.toContain('password');
  // The line that was run is in the log; what it printed is not.
  expect(text.split('\n')).not.toContain('the key');
  expect(lines).toEqual(['a note', 'a result', '8']);
});

it('that fail end with their last lines, their code and where the log is; one that is not there by name', async () => {
  const { run, log } = open();
  const fails = 'for (let n = 1; n <= 30; n += 1) console.error("line", n); process.exitCode = 3';
  const failure = await run('node', ['-e', fails]).catch((error: Error) => error.message);
  expect(failure).toMatch(/^node -e .*ended with 3:\n/);
  expect(failure).toContain('  | line 30\n');
  expect(failure).not.toContain('line 15\n');
  expect(failure).toContain(log);
});

it('that are interrupted say that the same command goes on', async () => {
  const stop = new AbortController();
  const { run } = open({ stop: stop.signal });
  const waiting = run('node', ['-e', 'setTimeout(() => {}, 60_000)']);
  setTimeout(() => stop.abort(), 300);
  await expect(waiting).rejects.toThrow('interrupted: run the same command again');
});
