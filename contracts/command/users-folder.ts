// The folder in which the user typed a command, from which relative paths start.
import { resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

/** npm starts a command in the repository's root and says where the user stood; one that is started otherwise is there itself. */
export function usersFolder(): string {
  const { INIT_CWD: folder } = process.env;
  const cwd = process.cwd();
  return folder && cwd === ROOT ? folder : cwd;
}
