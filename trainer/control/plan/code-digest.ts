// Digests the source that a stage executes: its own file and the modules of the trainer that it imports.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, posix, resolve } from 'node:path';
import { runCommand } from '../../../contracts/command/command-line.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import { codeOf } from '../../../contracts/src/user-error.ts';

/** A source file by its path relative to `trainer/`, undefined where there is none. */
export type ReadSource = (path: string) => string | undefined;

const PACKAGES = /^(data|engine|losses|towers|tasks|evaluation|stages)(\.|$)/;

/**
 * One digest per stage, so that editing `evaluate` keeps hours of `mntp`. Comments, blank lines and trailing spaces do
 * not count. What counts is Python source only: configuration, inputs and seed are in the content address beside this
 * digest, and versions of libraries, which pyproject.toml pins, are left out on purpose.
 */
export function codeDigests(stages: readonly StageName[], read: ReadSource): Record<StageName, string> {
  return Object.fromEntries(stages.map((stage) => [stage, codeDigest(stage, read)])) as Record<StageName, string>;
}

/** The stages that a checkout or an image has a file for, by name. The table of stages needs packages that an image lacks. */
export function stagesIn(trainer: string): StageName[] {
  return readdirSync(join(trainer, 'stages'))
    .filter((file) => /^[a-z]\w*\.py$/.test(file))
    .map((file) => basename(file, '.py') as StageName)
    .sort();
}

/** What `stages/<stage>.py` executes, by path, sorted: itself and, transitively, what it imports. Empty without that file. */
export function stageSources(stage: StageName, read: ReadSource): Map<string, string> {
  const entry = `stages/${stage}.py`;
  const found = new Map<string, string>();
  const queue = [entry];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (found.has(path)) continue;
    const source = read(path);
    if (source === undefined) continue;
    const { strings, code } = lex(source);
    found.set(path, restore(code, strings));
    for (const module of importedModules(path, code)) {
      const base = module.replaceAll('.', '/');
      queue.push(`${base}.py`, `${base}/__init__.py`);
    }
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Reads sources below a folder on this machine. */
export function sourceReader(trainer: string): ReadSource {
  return function readSource(path) {
    try {
      return readFileSync(join(trainer, path), 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  };
}

/** The digest of one stage's source as `read` gives it. */
export function codeDigest(stage: StageName, read: ReadSource): string {
  const hash = createHash('sha256');
  for (const [path, source] of stageSources(stage, read))
    hash.update(`${path}\0${Buffer.byteLength(source)}\0${source}`);
  return `sha256:${hash.digest('hex')}`;
}

/** Python source with every string literal taken out (kept as written) and comments and blank lines gone. */
function lex(source: string): { strings: string[]; code: string } {
  const token = /("""|''')(?:\\[\s\S]|(?!\1)[\s\S])*\1|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|#[^\n]*/g;
  const strings: string[] = [];
  const code = source
    .replaceAll('\r\n', '\n')
    .replace(token, (text) => (text.startsWith('#') ? '' : `\0${strings.push(text) - 1}\0`))
    .replace(/[ \t]+$/gm, '')
    .replace(/\n{2,}/g, '\n')
    .trim();
  return { strings, code };
}

function restore(code: string, strings: readonly string[]): string {
  return code
    .split('\0')
    .map((part, index) => (index % 2 === 0 ? part : (strings[Number(part)] ?? '')))
    .join('');
}

/** Dotted names in these packages that a module's import statements may mean, packages on the way included. */
function importedModules(path: string, code: string): Set<string> {
  const names = new Set<string>();
  for (const [, from = '', list = ''] of code.matchAll(
    /^[ \t]*from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)/gm,
  )) {
    const module = absoluteName(path, from);
    names.add(module);
    // `from towers import llm` names a module, `from towers.llm import pooled` does not: a path that is not there is skipped.
    for (const name of importedNames(list)) names.add(`${module}.${name}`);
  }
  for (const [, list = ''] of code.matchAll(/^[ \t]*import[ \t]+([^\n]*)/gm)) {
    for (const name of importedNames(list)) names.add(name);
  }
  const modules = new Set<string>();
  for (const name of names) {
    if (!PACKAGES.test(name)) continue;
    const parts = name.split('.');
    for (let length = 1; length <= parts.length; length += 1) modules.add(parts.slice(0, length).join('.'));
  }
  return modules;
}

function importedNames(list: string): string[] {
  return list
    .replace(/[()\\]/g, ' ')
    .split(',')
    .map((item) => item.trim().split(/\s+/)[0] ?? '')
    .filter((name) => name !== '' && name !== '*');
}

/** `.data` in towers/llm.py is `towers.data`; a name without leading dots stays. */
function absoluteName(path: string, name: string): string {
  const dots = name.length - name.replace(/^\.+/, '').length;
  if (dots === 0) return name;
  let folder = posix.dirname(path);
  for (let level = 1; level < dots; level += 1) folder = posix.dirname(folder);
  return [...folder.split('/'), ...name.slice(dots).split('.')].filter((part) => part !== '' && part !== '.').join('.');
}

const HELP = `Usage: node trainer/control/plan/code-digest.ts

Prints the digest of the code of every stage as one JSON object. The training image and the pipeline's planner are
stamped with it.
`;

if (import.meta.main) {
  await runCommand({ help: HELP, options: {} }, () => {
    const trainer = resolve(import.meta.dirname, '../..');
    process.stdout.write(`${JSON.stringify(codeDigests(stagesIn(trainer), sourceReader(trainer)))}\n`);
    return 0;
  });
}
