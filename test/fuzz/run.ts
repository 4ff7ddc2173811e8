// `npm run fuzz`: bodies of two independent generators at every door. Ours against the Worker in its runtime, and Schemathesis
// over HTTP against the whole service, from nothing but its published /openapi.json.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../contracts/command/numbers.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { makeKeyFile } from '../support/key-file.ts';
import { startLocalServer } from '../support/local-server.ts';

const HELP = `Usage: npm run fuzz [-- [--runs N] [--examples N] [--seed N] [--only worker|schemathesis]]

worker        N bodies per operation (default 10000), drawn from its schema and made wrong in every way: no answer of 5xx,
              every answer valid against its schema. npm test does the same with 200.
schemathesis  up to N examples per operation (default 50) against the service as npm start runs it, by an independent
              tester. The first run installs it (a minute).

  --runs N      bodies per operation of the first
  --examples N  examples per operation of the second
  --seed N      of both; a failure says the seed with which it comes again
  --only NAME   one of the two
`;
const OPTIONS = {
  runs: { type: 'string', default: '10000' },
  examples: { type: 'string', default: '50' },
  seed: { type: 'string', default: '20261126' },
  only: { type: 'string' },
} as const;
const ROOT = resolve(import.meta.dirname, '../..');
const VENV = join(import.meta.dirname, '.venv');
const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt');
const CONFIGURATION = join(import.meta.dirname, 'schemathesis.toml');
const HOOKS = join(import.meta.dirname, 'hooks.py');

async function main({ values: { runs, examples, seed, only } }: CommandLine<typeof OPTIONS>): Promise<number> {
  if (only !== undefined && only !== 'worker' && only !== 'schemathesis') {
    throw new UserError(`--only ${only}: worker or schemathesis`);
  }
  const count = (name: string, text: string): number => wholeNumberOf(name, text, { from: 1 });
  const numbers = {
    runs: count('--runs', runs),
    examples: count('--examples', examples),
    seed: count('--seed', seed),
  };
  const codes: number[] = [];
  if (only !== 'schemathesis') codes.push(await fuzzWorker(numbers.runs, numbers.seed));
  if (only !== 'worker') codes.push(await runSchemathesis(numbers.examples, numbers.seed));
  return codes.every((code) => code === 0) ? 0 : 1;
}

async function fuzzWorker(runs: number, seed: number): Promise<number> {
  console.log(`== ${runs} bodies per operation, seed ${seed}`);
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--project', 'workerd', 'test/api/worker/fuzz.workerd.test.ts'];
  return exitOf(process.execPath, args, { FUZZ_RUNS: String(runs), FUZZ_SEED: String(seed) });
}

async function runSchemathesis(examples: number, seed: number): Promise<number> {
  await install();
  const keys = await makeKeyFile();
  const secret = await keys.add({ scopes: ['embed', 'jobs', 'admin'] });
  const server = await startLocalServer({ keys: keys.file, requireKeys: true });
  const folder = mkdtempSync(join(tmpdir(), 'edge-clip-fuzz-'));
  try {
    console.log(`== Schemathesis, up to ${examples} examples per operation, seed ${seed}`);
    const options = {
      'max-examples': examples,
      seed,
      header: `Authorization: Bearer ${secret}`,
      phases: 'examples,coverage,fuzzing',
      'suppress-health-check': 'all',
      'rate-limit': 'auto',
      'request-timeout': 30,
      report: 'junit',
      'report-dir': folder,
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const schema = `${server.url}/openapi.json`;
    const all = ['--config-file', CONFIGURATION, 'run', ...args, '--continue-on-failure', schema];
    // It keeps its database of examples in the folder where it is started.
    return await exitOf(join(VENV, 'bin', 'schemathesis'), all, { SCHEMATHESIS_HOOKS: HOOKS }, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    keys.remove();
    await server.stop();
  }
}

async function install(): Promise<void> {
  const mark = join(VENV, '.installed');
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return;
  console.log('== installing Schemathesis (a minute)');
  try {
    execFileSync('python3', ['-m', 'venv', '--clear', VENV], { stdio: 'pipe' });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS];
    execFileSync(join(VENV, 'bin', 'python'), pip, { stdio: 'pipe' });
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: Buffer | string };
    throw new UserError(`Schemathesis cannot be installed: ${String(stderr).trim().slice(-1000) || message}`);
  }
  writeFileSync(mark, wanted);
}

function exitOf(command: string, args: string[], env: Record<string, string>, cwd = ROOT): Promise<number> {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd, stdio: 'inherit', env: { ...process.env, ...env } });
    child.on('error', (error) => {
      console.error(error.message);
      done(127);
    });
    child.on('close', (status) => done(status ?? 1));
  });
}

await runCommand({ help: HELP, options: OPTIONS }, main);
