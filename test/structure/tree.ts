// The source tree as data: files, who imports whom (types included), floors, functions, repeated lines.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** A run of this many equal lines is a duplicate. */
const RUN_LINES = 6;

export interface Tree {
  root: string;
  /** Everything that git knows, relative to `root`. */
  files: string[];
  /** What people wrote: generated files and golden data are left out. */
  sources: string[];
  text(file: string): string;
}

export interface FunctionSize {
  file: string;
  name: string;
  lines: number;
}

/** From a file to the files of the tree that it imports; a type import is one. */
export type Imports = Map<string, string[]>;

export function readTree(root: string): Tree {
  const listed = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
  const files = listed.filter((file) => existsSync(join(root, file)));
  const texts = new Map<string, string>();
  const text = (file: string): string => {
    const known = texts.get(file) ?? readFileSync(join(root, file), 'utf8');
    texts.set(file, known);
    return known;
  };
  return { root, files, sources: files.filter((file) => /\.(ts|js|py)$/.test(file) && isWritten(file)), text };
}

/** Written by people: generated files and golden data are marked as such elsewhere. */
export function isWritten(file: string): boolean {
  return !/^contracts\/(vectors|schema)\/|python\/contracts\/(types|constants)\.py$/.test(file);
}

export function isTest(file: string): boolean {
  return file.startsWith('test/');
}

// ------------------------------------------------------------------ imports

export interface WhichImports {
  /** Those of `import(...)`, too (default). */
  lazy?: boolean;
  /** `import type`, too (default). */
  types?: boolean;
}

export function importsOf({ sources, text }: Tree, which: WhichImports = {}): Imports {
  const known = new Set(sources);
  const packages = packagesOf(sources);
  return new Map(
    sources.map((file) => {
      const found = file.endsWith('.py')
        ? pythonImports(file, text(file), { known, packages })
        : scriptImports(file, text(file), which);
      return [file, [...new Set(found)].filter((path) => known.has(path) && path !== file)];
    }),
  );
}

function scriptImports(file: string, code: string, { lazy = true, types = true }: WhichImports): string[] {
  const statements =
    /^\s*(?:import|export)\b( type\b)?[^;'"]*?(?:from\s*)?['"](\.[^'"]+)['"]|import\(\s*['"](\.[^'"]+)['"]/gm;
  return [...code.matchAll(statements)]
    .filter(([, type, , later]) => (types || type === undefined) && (lazy || later === undefined))
    .map(([, , path, later]) => normalize(join(dirname(file), path ?? later ?? '')));
}

/** Folders that are on Python's path where our code runs: what lies in them is imported by its name there. */
const PYTHON_ROOTS = ['contracts/python', 'trainer'];

interface Python {
  known: ReadonlySet<string>;
  /** Folder by the name that imports begin with. */
  packages: ReadonlyMap<string, string>;
}

function packagesOf(sources: readonly string[]): Map<string, string> {
  return new Map(
    PYTHON_ROOTS.flatMap((root) =>
      sources
        .filter((file) => file.startsWith(`${root}/`) && file.endsWith('.py'))
        .map((file) => file.slice(root.length + 1).split('/')[0] ?? '')
        .map((name): [string, string] => [name, join(root, name)]),
    ),
  );
}

function pythonImports(file: string, code: string, python: Python): string[] {
  const names: string[] = [];
  const statements = /^[ \t]*from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|^[ \t]*import[ \t]+([\w.]+)/gm;
  for (const [, from, list = '', plain] of code.matchAll(statements)) {
    if (plain !== undefined) names.push(plain);
    else if (from !== undefined) {
      names.push(from, ...[...list.matchAll(/\b(\w+)\b(?!\s+as)/g)].map(([, name]) => `${from}.${name}`));
    }
  }
  return names.flatMap((name) => pythonFile(file, name, python) ?? []);
}

function pythonFile(file: string, name: string, { known, packages }: Python): string | undefined {
  const dots = name.match(/^\.+/)?.[0].length ?? 0;
  const [first = '', ...rest] = name.slice(dots).split('.');
  const folder = dots > 0 ? join(dirname(file), ...Array(dots - 1).fill('..'), first) : packages.get(first);
  if (folder === undefined) return undefined;
  const path = join(folder, ...rest);
  return [`${path}.py`, join(path, '__init__.py')].find((candidate) => known.has(candidate));
}

/** Every circle of files that import each other. */
export function circlesOf(imports: Imports): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, path: string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' > '));
    else if (!done.has(file)) {
      for (const next of imports.get(file) ?? []) walk(next, [...path, file]);
      done.add(file);
    }
  };
  for (const file of imports.keys()) walk(file, []);
  return circles;
}

// ------------------------------------------------------------------ floors

export interface Floors {
  /** Of each room: 0 imports from no other room, 1 from those of floor 0, and so on. */
  floors: Map<string, number>;
  /** "file > file": what would have to turn round so that rooms import each other in one direction only. */
  upward: string[];
}

/** Rooms by what they import. Of rooms that reach each other in a circle, the fewest imports go upward. */
export function floorsOf(imports: Imports, roomOf: (file: string) => string): Floors {
  const arrows = new Map<string, Map<string, string[]>>();
  for (const [file, targets] of imports) {
    const from = arrows.get(roomOf(file)) ?? new Map<string, string[]>();
    arrows.set(roomOf(file), from);
    for (const target of targets.filter((candidate) => roomOf(candidate) !== roomOf(file))) {
      from.set(roomOf(target), [...(from.get(roomOf(target)) ?? []), `${file} > ${target}`]);
    }
  }
  const upward: string[] = [];
  for (let circle = circleOf(arrows); circle !== undefined; circle = circleOf(arrows)) {
    const [weakest] = circle.toSorted((one, other) => countOf(arrows, one) - countOf(arrows, other));
    if (weakest === undefined) break;
    upward.push(...(arrows.get(weakest.from)?.get(weakest.to) ?? []));
    arrows.get(weakest.from)?.delete(weakest.to);
  }
  const floors = new Map<string, number>();
  const floorOf = (room: string): number => {
    const below = [...(arrows.get(room)?.keys() ?? [])].map((next) => floors.get(next) ?? floorOf(next));
    const floor = below.length === 0 ? 0 : Math.max(...below) + 1;
    floors.set(room, floor);
    return floor;
  };
  for (const room of arrows.keys()) floorOf(room);
  return { floors, upward };
}

interface Arrow {
  from: string;
  to: string;
}

function countOf(arrows: Map<string, Map<string, string[]>>, { from, to }: Arrow): number {
  return arrows.get(from)?.get(to)?.length ?? 0;
}

function circleOf(arrows: Map<string, Map<string, string[]>>): Arrow[] | undefined {
  const done = new Set<string>();
  const walk = (room: string, path: string[]): Arrow[] | undefined => {
    const at = path.indexOf(room);
    if (at >= 0) {
      const circle = [...path.slice(at), room];
      return circle.slice(1).map((to, index) => ({ from: circle[index] ?? '', to }));
    }
    if (done.has(room)) return undefined;
    for (const next of arrows.get(room)?.keys() ?? []) {
      const circle = walk(next, [...path, room]);
      if (circle) return circle;
    }
    done.add(room);
    return undefined;
  };
  for (const room of arrows.keys()) {
    const circle = walk(room, []);
    if (circle) return circle;
  }
  return undefined;
}

// ------------------------------------------------------------------ functions and repeated lines

/** Longest first. The formatters indent, so a function ends where its indentation does. */
export function functionsOf({ sources, text }: Tree): FunctionSize[] {
  return sources
    .flatMap((file) => (file.endsWith('.py') ? pythonFunctions(file, text(file)) : scriptFunctions(file, text(file))))
    .sort((one, other) => other.lines - one.lines);
}

function scriptFunctions(file: string, code: string): FunctionSize[] {
  const lines = code.split('\n');
  const head =
    /^(\s*)(?:export )?(?:default )?(?:async )?(?:function\*? ?(\w*)|const (\w+) = (?:async )?(?:\([^)]*\)|\w+)(?:: [^=]+)? => \{$|(?:static |override |async |get |set )*((?!if\b|for\b|while\b|switch\b|catch\b|return\b)#?\w+)\([^;]*\{$)/;
  return lines.flatMap((line, start) => {
    const found = head.exec(line);
    if (!found) return [];
    const [, indent = '', ...names] = found;
    const end = lines.findIndex((later, at) => at > start && new RegExp(`^${indent}\\}[;,)]*$`).test(later));
    return end < 0 ? [] : [{ file, name: names.find(Boolean) ?? '', lines: end - start + 1 }];
  });
}

function pythonFunctions(file: string, code: string): FunctionSize[] {
  const lines = code.split('\n');
  return lines.flatMap((line, start) => {
    const [, indent, name = ''] = /^(\s*)(?:async )?def (\w+)/.exec(line) ?? [];
    if (indent === undefined) return [];
    const isInside = (later: string): boolean =>
      later.trim() === '' || later.startsWith(`${indent} `) || later.startsWith(`${indent})`);
    const length = lines.slice(start + 1).findIndex((later) => !isInside(later));
    const body = lines.slice(start, length < 0 ? undefined : start + 1 + length);
    return [{ file, name, lines: body.join('\n').trimEnd().split('\n').length }];
  });
}

/** "file:line" of every place where a run of lines begins that is also elsewhere. */
export function repeatsOf({ sources, text }: Tree): string[] {
  const places = new Map<string, number>();
  const files = sources.map((file) => ({ file, lines: meaningfulLines(text(file)) }));
  for (const { lines } of files) {
    for (const run of runsOf(lines)) places.set(run, (places.get(run) ?? 0) + 1);
  }
  return files.flatMap(({ file, lines }) => {
    const isRepeated = runsOf(lines).map((run) => (places.get(run) ?? 0) > 1);
    return isRepeated.flatMap((repeated, at) =>
      repeated && isRepeated[at - 1] !== true ? [`${file}:${lines[at]?.number}`] : [],
    );
  });
}

interface Line {
  number: number;
  code: string;
}

/** Neither blank lines, comments, imports nor brackets say that something was copied. */
function meaningfulLines(code: string): Line[] {
  return code
    .split('\n')
    .map((line, index) => ({ number: index + 1, code: line.trim() }))
    .filter((line) => !/^(|\/\/.*|#.*|\/?\*.*|import .*|from .*|[\])}(;,]+)$/.test(line.code));
}

function runsOf(lines: readonly Line[]): string[] {
  const count = Math.max(0, lines.length - RUN_LINES + 1);
  return Array.from({ length: count }, (_, at) =>
    lines
      .slice(at, at + RUN_LINES)
      .map(({ code }) => code)
      .join('\n'),
  );
}
