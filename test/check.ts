// `npm run check`: types and the import rule, lint and format, generated files, both languages.
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { type CommandLine, runCommand } from '../contracts/command/command-line.ts';
import { ENVARS } from '../contracts/src/envars.ts';
import { ensureVenv } from '../trainer/control/local/venv.ts';

const HELP = `Usage: npm run check [-- --fix]

Types (tsc -b is also the import rule), biome, generated files, ruff and pyright. --fix formats and repairs what it can.
`;
const ROOT = resolve(import.meta.dirname, '..');
const OPTIONS = { fix: { type: 'boolean' } } as const;

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  const python = process.env[ENVARS.python] ?? (await ensureVenv({ say: (sentence) => console.log(sentence) }));
  const bin = (name: string) => join(ROOT, 'node_modules', '.bin', name);
  const ruff = ['-m', 'ruff', '--config', 'trainer/pyproject.toml'];
  const folders = ['trainer', 'contracts', 'test', 'api'];
  const steps: [name: string, command: string, args: string[]][] = [
    ['types and import rule', bin('tsc'), ['-b']],
    ['biome', bin('biome'), ['check', ...(values.fix ? ['--write'] : [])]],
    ['generated files', process.execPath, ['contracts/tools/generate.ts', ...(values.fix ? [] : ['--check'])]],
    ['ruff lint', python, [...ruff, 'check', ...(values.fix ? ['--fix'] : []), ...folders]],
    ['ruff format', python, [...ruff, 'format', ...(values.fix ? [] : ['--check']), ...folders]],
    ['pyright', bin('pyright'), ['-p', 'trainer/pyproject.toml', '--pythonpath', python]],
  ];
  let failed = 0;
  for (const [name, command, args] of steps) {
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

await runCommand({ help: HELP, options: OPTIONS }, main);
