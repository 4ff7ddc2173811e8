// The test files that paths on a command line select, by language.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { UserError } from '../contracts/src/user-error.ts';

export type Language = 'typescript' | 'python';

export interface Selection {
  typescript: string[];
  python: string[];
}

const PATTERNS: Record<Language, RegExp> = { typescript: /\.test\.ts$/, python: /^test_\w+\.py$/ };

/** Paths relative to `root`. A path is looked up in `cwd`, then in `root`, and is a test file or a folder of them. */
export function selectTests(paths: readonly string[], { cwd, root }: { cwd: string; root: string }): Selection {
  const selection: Selection = { typescript: [], python: [] };
  for (const path of paths) {
    const found = [resolve(cwd, path), resolve(root, path)].find((candidate) => existsSync(candidate));
    if (found === undefined) throw new UserError(`${path} does not exist`);
    const files = filesBelow(found);
    const tests = { typescript: ofLanguage(files, 'typescript'), python: ofLanguage(files, 'python') };
    if (tests.typescript.length + tests.python.length === 0) {
      throw new UserError(`${path} holds no tests: they are named *.test.ts and test_*.py, below test/`);
    }
    selection.typescript.push(...tests.typescript.map((file) => relative(root, file)));
    selection.python.push(...tests.python.map((file) => relative(root, file)));
  }
  return selection;
}

function ofLanguage(files: readonly string[], language: Language): string[] {
  return files.filter((file) => PATTERNS[language].test(basename(file)));
}

function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('node_modules'))
    .map((entry) => join(entry.parentPath, entry.name));
}
