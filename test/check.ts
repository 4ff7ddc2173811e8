// The command `npm run check`: types and the import rule, lint and format, generated files, both languages.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { type CommandLine, runCommand } from '../contracts/command/command-line.ts';
import { UserError } from '../contracts/src/user-error.ts';
import { trainerPython } from './support/python.ts';

const HELP = `Usage: npm run check [-- [--fix] [PATH ...]]

Types (tsc -b is also the import rule), biome, generated files, ruff and pyright.

  --fix      formats and repairs what it can
  PATH       a file or a folder: lint and format of these only, and what of the rest they can break;
             Python is set up only for Python files, whose types are checked without PATH only
  --help     this text
  --version  name and version

\`npx lefthook install\` runs it with --fix on what is staged, before every commit.
`;
const OPTIONS = { fix: { type: 'boolean' } } as const;
const ROOT = resolve(import.meta.dirname, '..');
const PYTHON_FOLDERS = ['trainer', 'contracts', 'test', 'api'];

interface Step {
  name: string;
  command: string;
  args: string[];
}

async function main({ values: { fix = false }, words }: CommandLine<typeof OPTIONS>): Promise<number> {
  const paths = words.map(pathOf);
  const steps = paths.length === 0 ? await allSteps({ fix }) : await stepsOf(paths, { fix });
  let failed = 0;
  for (const { name, command, args } of steps) {
    const started = Date.now();
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64e6 });
    console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
    if (status !== 0) {
      failed++;
      console.log(`${stdout}${stderr}`.trimEnd());
    }
  }
  return failed > 0 ? 1 : 0;
}

/** Relative to the repository. npm starts scripts in its root and says where the user stood. */
function pathOf(word: string): string {
  const found = [resolve(process.env.INIT_CWD ?? ROOT, word), resolve(ROOT, word)].find((path) => existsSync(path));
  if (found === undefined) throw new UserError(`${word} does not exist`);
  return relative(ROOT, found) || '.';
}

interface Options {
  fix: boolean;
}

async function allSteps({ fix }: Options): Promise<Step[]> {
  const python = await trainerPython();
  const pyright = ['-p', 'trainer/pyproject.toml', '--pythonpath', python];
  return [
    TYPES,
    biome([], { fix }),
    ...generated({ fix }),
    ...ruff(python, PYTHON_FOLDERS, { fix }),
    { name: 'pyright', command: bin('pyright'), args: pyright },
  ];
}

async function stepsOf(paths: readonly string[], { fix }: Options): Promise<Step[]> {
  const isFolder = (path: string): boolean => statSync(join(ROOT, path)).isDirectory();
  const inPython = paths.filter((path) => path.endsWith('.py') || isFolder(path));
  return [
    biome(paths, { fix }),
    ...(paths.some((path) => path.endsWith('.ts') || isFolder(path)) ? [TYPES] : []),
    ...(paths.some((path) => /^(contracts|infra)/.test(path)) ? generated({ fix }) : []),
    ...(inPython.length > 0 ? ruff(await trainerPython(), inPython, { fix }) : []),
  ];
}

// ------------------------------------------------------------------ steps

const TYPES: Step = { name: 'types and import rule', command: bin('tsc'), args: ['-b'] };

function biome(paths: readonly string[], { fix }: Options): Step {
  // A path may be of another language, or one that biome.json leaves out.
  const given = paths.length === 0 ? [] : ['--no-errors-on-unmatched', '--files-ignore-unknown=true', ...paths];
  return { name: 'biome', command: bin('biome'), args: ['check', ...(fix ? ['--write'] : []), ...given] };
}

function generated({ fix }: Options): Step[] {
  return [join('contracts', 'tools', 'generate.ts'), join('infra', 'reference.ts')].map((program) => ({
    name: `generated files of ${program}`,
    command: process.execPath,
    args: [program, ...(fix ? [] : ['--check'])],
  }));
}

function ruff(python: string, paths: readonly string[], { fix }: Options): Step[] {
  const common = ['-m', 'ruff', '--config', 'trainer/pyproject.toml'];
  const lint = [...common, 'check', '--force-exclude', ...(fix ? ['--fix'] : []), ...paths];
  const format = [...common, 'format', '--force-exclude', ...(fix ? [] : ['--check']), ...paths];
  return [
    { name: 'ruff lint', command: python, args: lint },
    { name: 'ruff format', command: python, args: format },
  ];
}

function bin(name: string): string {
  return join(ROOT, 'node_modules', '.bin', name);
}

await runCommand({ help: HELP, options: OPTIONS, words: Number.POSITIVE_INFINITY }, main);
