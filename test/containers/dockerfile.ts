// Dockerfiles without Docker: read into stages, and replayed into a folder with the same COPYs and the same shell lines.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

export interface Instruction {
  name: string;
  /** Flags such as `--from=build`, by name. */
  flags: Record<string, string>;
  /** The rest of the line, continuation lines joined. */
  text: string;
}

export interface Stage {
  /** What FROM names: an image or an earlier stage. */
  base: string;
  /** After AS; the last stage has none. */
  name: string;
  instructions: Instruction[];
}

/** The stages of a file, in order. Neither here-documents nor ARG before FROM are understood: neither is used. */
export function readDockerfile(path: string): Stage[] {
  const text = readFileSync(join(ROOT, path), 'utf8')
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ');
  const stages: Stage[] = [];
  for (const line of text.split('\n').filter((line) => line.trim() !== '')) {
    const [, name = '', flags = '', rest = ''] = /^(\w+)\s+((?:--[\w-]+=\S+\s+)*)(.*)$/.exec(line.trim()) ?? [];
    const found = [...flags.matchAll(/--([\w-]+)=(\S+)/g)].map(([, flag = '', value = '']) => [flag, value]);
    if (name === 'FROM') {
      const [base = '', , stage = 'final'] = rest.split(/\s+/);
      stages.push({ base, name: stage, instructions: [] });
    } else stages.at(-1)?.instructions.push({ name, flags: Object.fromEntries(found), text: rest.trim() });
  }
  return stages;
}

/** The last instruction of that name. */
export function lastOf(stage: Stage, name: string): Instruction | undefined {
  return stage.instructions.findLast((instruction) => instruction.name === name);
}

/** Sources and destination of a COPY. */
export function copyOf({ text }: Instruction): { sources: string[]; target: string } {
  const words = text.split(/\s+/);
  return { sources: words.slice(0, -1), target: words.at(-1) ?? '' };
}

/** Whether .dockerignore keeps a path of the repository out: the last pattern that fits it or a folder above decides. */
export function readIgnore(): (path: string) => boolean {
  const patterns = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const isKept = line.startsWith('!');
      const source = (isKept ? line.slice(1) : line)
        .split('/')
        .map((part) =>
          part === '**' ? '(?:.*/)?' : `${part.replace(/[.+^$()|[\]\\]/g, '\\$&').replace(/\*/g, '[^/]*')}/`,
        )
        .join('');
      return { isKept, pattern: new RegExp(`^${source.replace(/\/$/, '')}(?:/|$)`) };
    });
  return function isIgnored(path) {
    let ignored = false;
    for (const { isKept, pattern } of patterns) if (pattern.test(path)) ignored = !isKept;
    return ignored;
  };
}

/**
 * Builds stages below a temporary folder, each in a folder of its own name that stands for its root. `adapt` gives the
 * shell line to run instead of a RUN's, null for none. Bases are not there: only what COPY and RUN make. Of a stage that is a base and no
 * more, each file that is copied is an empty one.
 */
export function replay(
  stages: Stage[],
  adapt: (command: string, folder: string) => string | null = (command) => command,
): string {
  const top = mkdtempSync(join(tmpdir(), 'image-'));
  const isIgnored = readIgnore();
  for (const stage of stages) {
    const root = join(top, stage.name);
    let folder = root;
    mkdirSync(root, { recursive: true });
    for (const instruction of stage.instructions) {
      if (instruction.name === 'WORKDIR') {
        folder = join(root, instruction.text);
        mkdirSync(folder, { recursive: true });
      }
      if (instruction.name === 'COPY') {
        const { from } = instruction.flags;
        const { sources, target } = copyOf(instruction);
        const there = resolve(root, target.startsWith('/') ? `.${target}` : join(relative(root, folder), target));
        for (const source of sources) {
          const here = from === undefined ? join(ROOT, source) : join(top, from, source);
          // A build sees only what .dockerignore lets through.
          const filter = (file: string) => from !== undefined || isFolder(file) || !isIgnored(relative(ROOT, file));
          const isInto = target.endsWith('/') && !isFolder(here);
          const isBaseAlone = stages.some(({ name, instructions }) => name === from && instructions.length === 0);
          if (isBaseAlone) writeFileSync(here, '');
          if (!existsSync(here)) throw new Error(`COPY ${source}: there is no ${here}`);
          cpSync(here, isInto ? join(there, basename(source)) : there, { recursive: true, filter });
        }
      }
      if (instruction.name === 'RUN') {
        const command = adapt(instruction.text, folder);
        const PATH = `${dirname(process.execPath)}:${process.env.PATH}`;
        if (command !== null) execFileSync('/bin/sh', ['-ec', command], { cwd: folder, env: { PATH }, stdio: 'pipe' });
      }
    }
  }
  return top;
}

/** Files below a folder, by relative path, sorted. */
export function filesBelow(folder: string): string[] {
  return globSync('**', { cwd: folder })
    .filter((path) => !isFolder(join(folder, path)))
    .sort();
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
