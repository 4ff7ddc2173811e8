// An interpreter that has the libraries of the trainer loaded, one for a whole run of tests: to import them takes a command seven
// seconds of a core, and what it then computes on tiny models less than one (warm_python.py).
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isMade } from '../../api/registry/stores/process-lock.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SCRIPT = join(import.meta.dirname, 'warm_python.py');
const ASKING = join(import.meta.dirname, 'ask_warm_python.py');
/** Where a run of tests keeps it. */
const FOLDER = 'TEST_WARM_PYTHON';
const START_MS = 60_000;

/** Vitest calls it before the first test; what it returns, after the last one. The interpreter starts where a test needs it. */
export default function useWarmPython(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'warm-'));
  execFileSync('mkfifo', [join(folder, 'alive')]);
  // The interpreter reads it to its end: it ends with this process at the latest.
  const alive = openSync(join(folder, 'alive'), 'r+');
  process.env[FOLDER] = folder;
  return () => {
    delete process.env[FOLDER];
    closeSync(alive);
  };
}

/** What stands in for `python`, whose libraries it then has loaded; `python` itself outside of a run of tests. */
export async function warmed(python: string): Promise<string> {
  const folder = process.env[FOLDER];
  if (folder === undefined) return python;
  const [socket, standIn] = [join(folder, 'socket'), join(folder, 'python')];
  // Of all workers of the run one starts it.
  if (isMade(join(folder, 'started'))) {
    writeFileSync(standIn, `#!/bin/sh\nexec '${python}' -S -E '${ASKING}' '${socket}' "$@"\n`, { mode: 0o755 });
    start(python, socket, join(folder, 'alive'));
  }
  const end = Date.now() + START_MS;
  while (!existsSync(socket)) {
    if (Date.now() > end) throw new Error(`${python} ${SCRIPT} did not start: what it says is above`);
    await setTimeout(20);
  }
  return standIn;
}

function start(python: string, socket: string, alive: string): void {
  const input = openSync(alive, 'r');
  const env = {
    ...process.env,
    PYTHONPATH: [join(ROOT, 'trainer'), join(ROOT, 'contracts/python')].join(delimiter),
    HF_HUB_OFFLINE: '1',
    TOKENIZERS_PARALLELISM: 'false',
    // Tiny models: a second thread only waits.
    OMP_NUM_THREADS: '1',
  };
  const words = ['-W', 'ignore', SCRIPT, socket];
  spawn(python, words, { env, stdio: [input, 'ignore', 'inherit'], detached: true }).unref();
  closeSync(input);
}
