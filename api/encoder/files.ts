// Reads files of which only the absence is expected: every other error, such as a missing permission, is thrown.
import { readFile } from 'node:fs/promises';
import { codeOf } from '../../contracts/src/user-error.ts';

/** Undefined where there is no such file. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
