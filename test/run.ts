// `npm test`: generated files fresh, TypeScript tests, Python tests; closes with one line that counts both languages.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type CommandLine, runCommand } from '../contracts/command/command-line.ts';
import { ENVARS } from '../contracts/src/envars.ts';
import { UserError } from '../contracts/src/user-error.ts';
import { ensureVenv } from '../trainer/control/local/venv.ts';

const HELP = `Usage: npm test [-- --only typescript|python]

Runs everything that needs no cloud. The first run also makes the trainer's Python environment (about 5 minutes).
Ends with "N passed, N failed" over both languages, and with exit code 1 if anything failed.
`;
const OPTIONS = { only: { type: 'string' } } as const;
const ROOT = resolve(import.meta.dirname, '..');
const counts = { passed: 0, failed: 0, skipped: 0 };

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  if (values.only !== undefined && values.only !== 'typescript' && values.only !== 'python')
    throw new UserError(`--only ${values.only}: typescript or python`);
  const folder = mkdtempSync(join(tmpdir(), 'edge-clip-test-'));
  try {
    // TypeScript tests need it too: the AWS emulator, the container's entry point and the Dockerfile lint are Python packages.
    const python = process.env[ENVARS.python] ?? (await ensureVenv({ say: (sentence) => console.log(sentence) }));
    if (values.only !== 'python') {
      await step('generated files are fresh', process.execPath, ['contracts/tools/generate.ts', '--check'], () => ({
        passed: 1,
      }));
      const report = join(folder, 'vitest.json');
      await step(
        'TypeScript tests',
        process.execPath,
        [
          'node_modules/vitest/vitest.mjs',
          'run',
          '--reporter=default',
          '--reporter=json',
          `--outputFile.json=${report}`,
        ],
        () => fromVitest(report),
      );
    }
    if (values.only !== 'typescript') {
      const report = join(folder, 'pytest.xml');
      await step('Python tests', python, ['-m', 'pytest', '-c', 'trainer/pyproject.toml', `--junitxml=${report}`], () =>
        fromJunit(report),
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`);
  return counts.failed > 0 || counts.passed === 0 ? 1 : 0;
}

/** Run one command; a non-zero exit counts as at least one failure, whatever its report says. */
async function step(name: string, command: string, args: string[], read: () => Partial<typeof counts>): Promise<void> {
  const started = Date.now();
  console.log(`\n== ${name}`);
  const code = await new Promise<number>((done) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' });
    child.on('error', () => done(127));
    child.on('close', (status) => done(status ?? 1));
  });
  let found: Partial<typeof counts> = {};
  try {
    found = code === 0 || name !== 'generated files are fresh' ? read() : {};
  } catch {
    console.log(`${name}: no report was written`);
  }
  counts.passed += found.passed ?? 0;
  counts.skipped += found.skipped ?? 0;
  counts.failed += code === 0 ? (found.failed ?? 0) : Math.max(1, found.failed ?? 0);
  console.log(`== ${name}: ${code === 0 ? 'ok' : `exit ${code}`} after ${Math.round((Date.now() - started) / 1000)} s`);
}

function fromVitest(file: string): Partial<typeof counts> {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  return { passed: report.numPassedTests, failed: report.numFailedTests, skipped: report.numPendingTests };
}

function fromJunit(file: string): Partial<typeof counts> {
  const suite = readFileSync(file, 'utf8').match(/<testsuite [^>]*>/)?.[0] ?? '';
  const number = (name: string) => Number(suite.match(new RegExp(` ${name}="(\\d+)"`))?.[1] ?? 0);
  const failed = number('failures') + number('errors');
  return { passed: number('tests') - failed - number('skipped'), failed, skipped: number('skipped') };
}

await runCommand({ help: HELP, options: OPTIONS }, main);
