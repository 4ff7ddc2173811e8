// Writes generated files that are not as they should be, or only names them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { codeOf } from '../src/user-error.ts';

const ROOT = resolve(import.meta.dirname, '..', '..');

/** `files`: text by path relative to the repository; `command` writes them. Gives the exit code: 1 where `isCheck` finds a stale file. */
export function writeGenerated(
  files: ReadonlyMap<string, string>,
  { isCheck, command }: { isCheck: boolean; command: string },
): number {
  let stale = 0;
  for (const [path, text] of files) {
    const file = join(ROOT, path);
    if (read(file) === text) continue;
    stale++;
    if (isCheck) console.error(`stale: ${path} (run: ${command})`);
    else {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      console.log(`wrote ${path}`);
    }
  }
  return isCheck && stale > 0 ? 1 : 0;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
