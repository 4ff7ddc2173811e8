// The process of a command as the command sees it: folders, environment and output.
import { resolve } from 'node:path';

export interface CommandContext {
  /** The repository. */
  root: string;
  /** The folder in which the user typed the command. */
  cwd: string;
  env: NodeJS.ProcessEnv;
  stdout: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  stderr: { write(text: string): unknown };
}

/** Of this process, started by npm: in the repository's root, with the folder of the user in INIT_CWD. */
export function processContext(env: NodeJS.ProcessEnv): CommandContext {
  const { stdout, stderr } = process;
  const root = resolve(import.meta.dirname, '../../..');
  return { root, cwd: env.INIT_CWD ?? process.cwd(), env, stdout, stderr };
}
