// Starts the Python that runs all columns but the service, and reads what it prints.
import { type ChildProcess, spawn } from 'node:child_process';
import { delimiter, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';

const ROOT = resolve(import.meta.dirname, '../..');
const FOLDERS = ['trainer', 'contracts/python', 'test/trainer', 'test/support', 'test/systems'];
const PICTURE = join(ROOT, 'api/playground/samples/cat.jpg');

export const List = z.strictObject({
  rows: z.array(z.strictObject({ row: z.string(), about: z.string() })),
  columns: z.array(z.string()),
  versions: z.record(z.string(), z.string()),
});
export type List = z.infer<typeof List>;

const Line = z.union([
  z.strictObject({ row: z.string(), column: z.string(), state: z.literal('running') }),
  z.strictObject({
    row: z.string(),
    column: z.string(),
    state: z.enum(['passed', 'failed', 'not run']),
    said: z.string(),
    seconds: z.number(),
  }),
  z.strictObject({
    row: z.string(),
    folder: z.string(),
    texts: z.array(z.string()),
    picture: z.string(),
    expected: z.strictObject({ texts: z.array(z.array(z.number())), image: z.array(z.number()) }),
  }),
]);
export type Line = z.infer<typeof Line>;

export interface Ended {
  code: number | null;
  /** The end of what was printed on standard error. */
  problem: string;
}

function start(python: string, args: readonly string[]): ChildProcess {
  const environment = {
    PYTHONPATH: FOLDERS.map((folder) => join(ROOT, folder)).join(delimiter),
    HF_HUB_OFFLINE: '1',
    TOKENIZERS_PARALLELISM: 'false',
    OMP_NUM_THREADS: '1', // tiny models: a second thread only waits
  };
  return spawn(python, ['-W', 'ignore', '-m', 'columns', ...args], {
    cwd: ROOT,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that its stages end with it.
    detached: true,
  });
}

async function follow(child: ChildProcess, onLine: (line: string) => void, stop?: AbortSignal): Promise<Ended> {
  const end = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  stop?.addEventListener('abort', end);
  let problem = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    problem = (problem + text).slice(-2000);
  });
  const ended = new Promise<number | null>((done, fail) => child.once('error', fail).once('close', done));
  if (child.stdout) for await (const line of createInterface(child.stdout)) onLine(line);
  const code = await ended;
  stop?.removeEventListener('abort', end);
  return { code, problem: problem.trim().split('\n').at(-1) ?? '' };
}

/** The rows there are. */
export async function listSystems(python: string): Promise<List> {
  let printed = '';
  const { code, problem } = await follow(start(python, ['--list']), (line) => {
    printed += line;
  });
  if (code !== 0) throw new Error(`python -m columns --list ended with ${code}: ${problem}`);
  return List.parse(JSON.parse(printed));
}

export interface Work {
  python: string;
  rows: readonly string[];
  /** An empty folder for everything that is made. */
  folder: string;
  stop: AbortSignal;
  onLine: (line: Line) => void;
}

/** Runs the columns of rows; `stop` ends the process and its stages at once. */
export async function runColumns({ python, rows, folder, stop, onLine }: Work): Promise<Ended> {
  const args = ['--to', folder, '--picture', PICTURE, '--only', rows.join('\n')];
  return await follow(start(python, args), (line) => onLine(Line.parse(JSON.parse(line))), stop);
}
