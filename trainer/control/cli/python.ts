// Where Python is found (the interpreter that the user wants instead of trainer/.venv, the folders of our packages), and running it.
import { join, resolve } from 'node:path';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { exitOf, startModule } from '../local/python-module.ts';
import { ensureVenv } from '../local/venv.ts';
import type { CommandContext } from './context.ts';
import { listenForInterrupts } from './interrupts.ts';

export function pythonOverride({ env, cwd }: Pick<CommandContext, 'env' | 'cwd'>): string | undefined {
  const python = env[ENVARS.python];
  if (python === undefined || python === '') return undefined;
  // A bare name is looked up in PATH; a path starts from the user's folder, which is not the process's working directory.
  return python.includes('/') ? resolve(cwd, python) : python;
}

/** Of a repository. */
export function packagesIn(root: string): { trainer: string; contracts: string } {
  return { trainer: join(root, 'trainer'), contracts: join(root, 'contracts', 'python') };
}

/** Runs Python in trainer/, prints what it prints, and ends it when this command is interrupted. */
export async function runPython(
  args: readonly string[],
  { root, cwd, env, stdout, stderr }: CommandContext,
): Promise<number> {
  const python = pythonOverride({ env, cwd }) ?? (await ensureVenv({ env }));
  const interrupts = listenForInterrupts(env);
  const { stop, kill } = interrupts.signals;
  try {
    const child = startModule({ python, args, ...packagesIn(root), env });
    child.stdout.setEncoding('utf8').on('data', (text: string) => stdout.write(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => stderr.write(text));
    const code = await exitOf(child, { python, stop, kill });
    return stop.aborted ? EXIT.interrupted : (code ?? EXIT.failed);
  } finally {
    interrupts.end();
  }
}
