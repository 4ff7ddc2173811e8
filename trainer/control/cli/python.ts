// Where Python is found: the interpreter that the user wants instead of trainer/.venv, and the folders of our packages.
import { join, resolve } from 'node:path';
import { ENVARS } from '../../../contracts/src/envars.ts';
import type { CommandContext } from './context.ts';

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
