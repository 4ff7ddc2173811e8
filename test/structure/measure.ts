// Prints the shape of a source tree: files per folder, floors, imports upward, circles, largest functions, repeated lines.
import { dirname, resolve } from 'node:path';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { boxOf } from './floors.ts';
import { circlesOf, floorsOf, functionsOf, importsOf, isTest, readTree, repeatsOf, type Tree } from './tree.ts';

const HELP = `Usage: node test/structure/measure.ts [--json] [ROOT]

Measures the checkout at ROOT (default this one), tests apart. The floor of a box (test/structure/floors.ts) or of a folder
in none is one above the highest that it imports from; imports upward are those that would have to turn round so that
boxes import in one direction only. Type imports count as any other.

  --json     everything, as one JSON object
  --help     this text
  --version  name and version
`;
const OPTIONS = { json: { type: 'boolean' } } as const;
const SHOWN = 8;

function measure(all: Tree) {
  const tree = { ...all, sources: all.sources.filter((file) => !isTest(file)) };
  const imports = importsOf(tree);
  const { floors, upward } = floorsOf(imports, boxOf);
  const functions = functionsOf(tree);
  const folders: Record<string, number> = {};
  for (const file of tree.sources) folders[dirname(file)] = (folders[dirname(file)] ?? 0) + 1;
  const lines = tree.sources.reduce((sum, file) => sum + tree.text(file).split('\n').length - 1, 0);
  const largest = (isWanted: (file: string) => boolean) => functions.filter(({ file }) => isWanted(file));
  return {
    files: tree.sources.length,
    lines,
    folders,
    floors: Object.fromEntries(floors),
    upward,
    circles: circlesOf(imports),
    largest_typescript: largest((file) => !file.endsWith('.py')).slice(0, SHOWN),
    largest_python: largest((file) => file.endsWith('.py')).slice(0, SHOWN),
    repeats: repeatsOf(tree),
  };
}

function main({ values, words: [root] }: CommandLine<typeof OPTIONS>): number {
  const shape = measure(readTree(resolve(root ?? '.')));
  if (values.json) {
    console.log(JSON.stringify(shape, null, 2));
    return 0;
  }
  const { files, lines, folders, floors, upward, circles, repeats } = shape;
  const list = (items: readonly string[]): string => items.map((item) => `\n  ${item}`).join('');
  const bySize = Object.entries(folders).sort(([, one], [, other]) => other - one);
  const sizes = bySize.map(
    ([folder, count]) =>
      `${String(count).padStart(3)}  floor ${floors[folder] ?? floors[boxOf(`${folder}/file`)] ?? '-'}  ${folder}`,
  );
  const size = ({ file, name, lines: count }: (typeof shape.largest_python)[number]): string =>
    `${String(count).padStart(3)}  ${name}  ${file}`;
  console.log(`${files} source files, ${lines} lines, in ${bySize.length} folders:${list(sizes)}`);
  console.log(`\n${Math.max(...Object.values(floors)) + 1} floors, ${upward.length} imports upward${list(upward)}`);
  console.log(`\n${circles.length} circles of files${list(circles)}`);
  console.log(`\nLargest functions, TypeScript:${list(shape.largest_typescript.map(size))}`);
  console.log(`Python:${list(shape.largest_python.map(size))}`);
  console.log(`\n${repeats.length} places begin a run of 6 or more lines that is also elsewhere${list(repeats)}`);
  return 0;
}

await runCommand({ help: HELP, options: OPTIONS, words: 1 }, main);
