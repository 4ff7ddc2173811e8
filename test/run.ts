// The command `npm test`: all tests, or those of some paths, in both languages; closes with one line that counts both.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, watch } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type CommandLine, runCommand } from '../contracts/command/command-line.ts';
import { usersFolder } from '../contracts/command/users-folder.ts';
import { UserError } from '../contracts/src/user-error.ts';
import { type Language, type Selection, selectTests } from './selection.ts';
import { trainerPython } from './support/python.ts';

const HELP = `Usage: npm test [-- [PATH ...] [-t NAME] [--watch] [--only typescript|python]]

Without PATH, everything that needs no cloud. The first run also makes the trainer's Python environment (5 minutes).
Ends with "N passed, N failed" over both languages, and with exit code 1 if anything failed.

  PATH         a test file or a folder of tests, in either language; Python is set up only where it is needed
  -t NAME      only tests whose name contains NAME
  --watch      run again whenever a file changes, until Ctrl-C
  --only LANG  only typescript or python
  --help       this text
  --version    name and version

  npm test -- test/api/core                        a folder
  npm test -- test/trainer/test_losses.py --watch  a Python file, again at every change
`;
const OPTIONS = {
  only: { type: 'string' },
  watch: { type: 'boolean' },
  name: { type: 'string', short: 't' },
} as const;
const ROOT = resolve(import.meta.dirname, '..');
const VITEST = join('node_modules', 'vitest', 'vitest.mjs');
/**
 * Hundreds of processes import the same modules, which one of them compiles: Node keeps what it compiled in `folder`, and where the
 * environment forbids Python to keep it, it may.
 */
const compiledOnce = (folder: string): Record<string, string> => ({
  PYTHONDONTWRITEBYTECODE: '',
  NODE_COMPILE_CACHE: join(folder, 'node'),
});
/** Where Python tests are: named, so that their conftest.py comes before the processes that share them. */
const PYTHON_TESTS = ['test/trainer', 'test/contracts'];
/** What Python tests read. */
const PYTHON_SOURCES = ['trainer', 'contracts', 'test'];

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}
interface Step {
  name: string;
  command: string;
  args: string[];
  /** Variables besides those of this process. */
  env?: Record<string, string>;
  /** Reads the report that the command wrote. */
  read(): Partial<Counts>;
  /** Exit codes that are not a failure (default 0). */
  ok?: number[];
}

async function main({ values, words }: CommandLine<typeof OPTIONS>): Promise<number> {
  const only = languageOf(values.only);
  const selection = selectTests(words, { cwd: usersFolder(), root: ROOT });
  const isWanted = (language: Language): boolean =>
    (only ?? language) === language && (words.length === 0 || selection[language].length > 0);
  const run = { selection, name: values.name, isAll: words.length === 0 };
  if (values.watch) return watchTests(run, isWanted);
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const folder = mkdtempSync(join(tmpdir(), 'edge-clip-test-'));
  try {
    // Some TypeScript tests need it too (the AWS emulator): those of a path make it themselves.
    const python = run.isAll || isWanted('python') ? await trainerPython() : '';
    if (isWanted('typescript')) {
      if (run.isAll && values.name === undefined) await count(GENERATED, counts);
      await count(vitest(run, folder), counts);
    }
    if (isWanted('python')) await count(pytest(run, python, folder), counts);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`);
  return counts.failed > 0 || counts.passed === 0 ? 1 : 0;
}

function languageOf(only: string | undefined): Language | undefined {
  if (only === undefined || only === 'typescript' || only === 'python') return only;
  throw new UserError(`--only ${only}: typescript or python`);
}

interface Run {
  selection: Selection;
  name: string | undefined;
  isAll: boolean;
}

// ------------------------------------------------------------------ one run

const GENERATED: Step = {
  name: 'generated files are fresh',
  command: process.execPath,
  args: [join('contracts', 'tools', 'generate.ts'), '--check'],
  read: () => ({ passed: 1 }),
};

function vitest(run: Run, folder: string): Step {
  const report = join(folder, 'vitest.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  return {
    name: 'TypeScript tests',
    command: process.execPath,
    args: [VITEST, 'run', ...reporters, ...vitestFilters(run)],
    env: compiledOnce(folder),
    read: () => fromVitest(report),
  };
}

function pytest(run: Run, python: string, folder: string): Step {
  const report = join(folder, 'pytest.xml');
  return {
    name: 'Python tests',
    command: python,
    args: [
      '-m',
      'pytest',
      '-c',
      'trainer/pyproject.toml',
      `--junitxml=${report}`,
      ...workers(run),
      ...pytestFilters(run),
    ],
    // Tiny models: with a process per core, a second thread of each would only wait.
    env: { ...compiledOnce(folder), OMP_NUM_THREADS: '1' },
    read: () => fromJunit(report),
    // 5: no test has that name, which is nothing against it where the other language has one.
    ok: run.name === undefined ? [0] : [0, 5],
  };
}

function vitestFilters({ selection: { typescript }, name, isAll }: Run): string[] {
  // The Workers runtime starts only for tests that run in it.
  const needsWorkers = isAll || typescript.some((file) => file.endsWith('.workerd.test.ts'));
  const named = name === undefined ? [] : ['-t', escapeRegExp(name), '--passWithNoTests'];
  return [...(needsWorkers ? [] : ['--project', '!workerd']), ...named, ...typescript];
}

/**
 * A process per core, each with whole files, whose tests share what they make; a few files are not worth the start.
 * test/trainer/conftest.py says which files come first; by itself, xdist would begin with those of the most tests.
 */
function workers({ isAll }: Run): string[] {
  // One more than cores: a fifth of the time of each is waiting, for leases, for signs of life, for processes that it started.
  const processes = String(Math.min(4, availableParallelism() + 1));
  return isAll ? ['-n', processes, '--dist', 'loadfile', '--no-loadscope-reorder'] : [];
}

function pytestFilters({ selection: { python }, name, isAll }: Run): string[] {
  // pytest's names are identifiers: every word of NAME has to be in one.
  const words = name?.match(/\w+/g) ?? [];
  return [...(words.length === 0 ? [] : ['-k', words.join(' and ')]), ...(isAll ? PYTHON_TESTS : python)];
}

/** A non-zero exit counts as at least one failure, whatever the report says. */
async function count({ name, command, args, env, read, ok = [0] }: Step, counts: Counts): Promise<void> {
  const started = Date.now();
  console.log(`\n== ${name}`);
  const code = await exitOf(command, args, env);
  const isOk = ok.includes(code);
  let found: Partial<Counts> = {};
  try {
    if (isOk || name !== GENERATED.name) found = read();
  } catch {
    console.log(`${name}: no report was written`);
  }
  counts.passed += found.passed ?? 0;
  counts.skipped += found.skipped ?? 0;
  counts.failed += isOk ? (found.failed ?? 0) : Math.max(1, found.failed ?? 0);
  console.log(`== ${name}: ${isOk ? 'ok' : `exit ${code}`} after ${Math.round((Date.now() - started) / 1000)} s`);
}

function exitOf(command: string, args: string[], env: Record<string, string> = {}): Promise<number> {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } });
    child.on('error', () => done(127));
    child.on('close', (status) => done(status ?? 1));
  });
}

function fromVitest(file: string): Partial<Counts> {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  return { passed: report.numPassedTests, failed: report.numFailedTests, skipped: report.numPendingTests };
}

function fromJunit(file: string): Partial<Counts> {
  const suite = readFileSync(file, 'utf8').match(/<testsuite [^>]*>/)?.[0] ?? '';
  const number = (name: string) => Number(suite.match(new RegExp(` ${name}="(\\d+)"`))?.[1] ?? 0);
  const failed = number('failures') + number('errors');
  return { passed: number('tests') - failed - number('skipped'), failed, skipped: number('skipped') };
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

// ------------------------------------------------------------------ again and again

/** One language at a time: each has the terminal to itself. Without a path or --only that is TypeScript. */
async function watchTests(run: Run, isWanted: (language: Language) => boolean): Promise<number> {
  if (isWanted('typescript')) {
    if (isWanted('python') && !run.isAll)
      throw new UserError('--watch takes one language at a time: add --only python or --only typescript');
    return exitOf(process.execPath, [VITEST, 'watch', ...vitestFilters(run)]);
  }
  const python = await trainerPython();
  const args = ['-m', 'pytest', '-c', 'trainer/pyproject.toml', ...pytestFilters(run)];
  for (;;) {
    await exitOf(python, args);
    console.log('\nWaiting for a change. Ctrl-C ends it.');
    await changeOf(PYTHON_SOURCES);
  }
}

function changeOf(folders: readonly string[]): Promise<void> {
  return new Promise((done) => {
    const watchers = folders.map((folder) =>
      watch(join(ROOT, folder), { recursive: true }, (_, file) => {
        if (!file?.endsWith('.py')) return;
        for (const watcher of watchers) watcher.close();
        done();
      }),
    );
  });
}

await runCommand({ help: HELP, options: OPTIONS, words: Number.POSITIVE_INFINITY }, main);
