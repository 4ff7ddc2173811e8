// Reports every column of every system, as a table for the terminal and as docs/systems.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type State = 'passed' | 'failed' | 'not run';

export interface Cell {
  state: State;
  /** What was found, what is wrong, or why it was not run. */
  said: string;
  seconds: number;
}
export interface Named {
  row: string;
  about: string;
}
export interface SystemRow extends Named {
  cells: Record<string, Cell>;
}
export interface Report {
  columns: readonly string[];
  systems: readonly SystemRow[];
  seconds: number;
  /** Versions of the libraries by name. */
  versions: Record<string, string>;
}

const DOCS = join(import.meta.dirname, '../../docs/systems.md');

const MEANINGS: Record<string, string> = {
  constructs:
    "the published models, at full size, on PyTorch's meta device: parameters, blocks and widths are those of [the towers](towers.md) and of the published checkpoints; of an import one model of the layout, both towers",
  loads:
    'a twin of random weights in the public layout (file names, names of tensors, configuration) opens as a recipe opens it, and its features are those of the library that the layout is from, whole and cut after the first block',
  trains:
    "every stage from images and captions to the students, four steps each, at another input size than the twin was made for, with layer decay, recomputed activations and the loss that the checkpoint was trained with; what was to be trained has changed; where the checkpoint's own text encoder is a teacher as well, the vectors of captions are those that both libraries give. Of an import (`import --distil`): text students learn the twin's text vectors, and are served with its own image tower",
  exports:
    "the ONNX graph's image vectors have a cosine of at least 0.9999 to PyTorch's, the int8 text graphs are within the recipe's limits; an import is exported for open_clip and transformers, which open it and give pictures the served vectors to 1e-4",
  serves:
    'the Worker in workerd and the image encoder answer `POST /embed` with that model, and the vectors are those of `edge_clip.load` (texts 0.999, images 0.9999 at worst)',
  evaluates:
    'the stage `evaluate`, and `npm run evaluate` on the exported model with drawn pictures in the layout of Flickr8k',
};

export function failures(report: Report): string[] {
  return report.systems.flatMap(({ row, cells }) =>
    Object.entries(cells).flatMap(([column, { state, said }]) =>
      state === 'failed' ? [`${row}, ${column}: ${said}`] : [],
    ),
  );
}

function markOf(cell: Cell | undefined): string {
  if (cell === undefined) return '✗';
  if (cell.state === 'passed') return '✓';
  return cell.state === 'failed' ? '✗' : 'not run';
}

export function tableOf(report: Report): string {
  const { columns, systems, seconds } = report;
  const width = Math.max(...systems.map(({ row }) => row.length));
  const head = `${' '.repeat(width)}  ${columns.join('  ')}`;
  const lines = systems.map(({ row, cells }) => {
    const marks = columns.map((column) => markOf(cells[column]).padEnd(column.length));
    return `${row.padEnd(width)}  ${marks.join('  ')}`.trimEnd();
  });
  const all = systems.flatMap(({ cells }) => Object.values(cells));
  const count = (state: State): number => all.filter((cell) => cell.state === state).length;
  const total = `${systems.length} systems, ${count('passed')} passed, ${count('failed')} failed, ${count('not run')} not run, ${Math.round(seconds)} s`;
  return [head, ...lines, '', ...failures(report).map((line) => `✗ ${line}`), total].join('\n');
}

/** `rows`: all that there are, in their order. One that was not run keeps the line of its last run. Returns the path. */
export function writeDocs(report: Report, rows: readonly Named[]): string {
  const before = existsSync(DOCS) ? readFileSync(DOCS, 'utf8').split('\n') : [];
  writeFileSync(DOCS, docsOf(report, rows, before));
  return DOCS;
}

function docsOf(report: Report, all: readonly Named[], before: readonly string[]): string {
  const { columns, systems, versions } = report;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const escaped = (text: string): string => text.replaceAll('|', '\\|');
  const reasonsOf = ({ cells }: SystemRow): string => {
    const left = Object.entries(cells).filter(([, { state }]) => state !== 'passed');
    return left.map(([column, { state, said }]) => escaped(`${column}: ${state}: ${said}`)).join('; ');
  };
  const rowOf = (system: SystemRow): string =>
    line([
      system.row,
      escaped(system.about),
      ...columns.map((column) => markOf(system.cells[column])),
      reasonsOf(system),
    ]);
  const never: Cell = { state: 'not run', said: 'this row has not been run', seconds: 0 };
  const rows = all.map((named) => {
    const system = systems.find(({ row }) => row === named.row);
    if (system !== undefined) return rowOf(system);
    const cells = Object.fromEntries(columns.map((column) => [column, never]));
    return before.find((old) => old.startsWith(`| ${named.row} |`)) ?? rowOf({ ...named, cells });
  });
  const head = ['System', 'What', ...columns, 'Why not'];
  const libraries = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `# Systems

<!-- Written by \`npm run systems -- --write-docs\`. Change test/systems and run that. -->

What this trainer does with the systems that it follows, each row as it was when \`npm run systems\` last ran it, on CPU cores. Weights of these models are not part of the
repository: all columns but the first run on a tiny twin, a few narrow blocks with random weights in the public layout. A ✓ says nothing of quality. Libraries: ${libraries.join(', ')}.

${line(head)}
${line(head.map(() => '---'))}
${rows.join('\n')}

${columns.map((column) => `- **${column}**: ${MEANINGS[column]}.`).join('\n')}

\`npm run systems -- --only "EVA02-CLIP,PE-Core"\` runs some rows and prints what was found. A row is added in \`test/systems/columns/table.py\`.
`;
}
