// `npm run systems`: every system that this trainer follows, in small, from its public layout to a service that answers.
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { listenForInterrupts } from '../../trainer/control/cli/interrupts.ts';
import { trainerPython } from '../support/python.ts';
import { type Ended, type Line, type List, listSystems, runColumns } from './columns.ts';
import { type Cell, failures, type Report, type SystemRow, tableOf, writeDocs } from './report.ts';
import { type Served, serve } from './serve.ts';

const HELP = `Usage: npm run systems [-- --only NAME,…] [--list] [--json] [--write-docs]

For every system of the table (image towers, language models, published combinations of both, ways of training) a tiny twin
with random weights in the public layout: constructs, loads, trains, exports, serves, evaluates. Nothing is downloaded.
  --only NAME,…  rows whose name contains one of these, in any case
  --list         the rows
  --json         the results as one JSON object
  --write-docs   writes the results into docs/systems.md; rows that were not run keep theirs
  --help         this text
  --version      name and version

Environment: TRAINER_PYTHON is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 everything that was run passed, 1 something failed, 2 refused, ${EXIT.interrupted} interrupted: nothing is left behind.
`;
const OPTIONS = {
  only: { type: 'string' },
  list: { type: 'boolean' },
  json: { type: 'boolean' },
  'write-docs': { type: 'boolean' },
} as const;
const SERVES = 'serves';

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  const python = await trainerPython();
  const list = await listSystems(python);
  const chosen = choose(list, values.only);
  if (values.list) {
    console.log(values.json ? JSON.stringify(chosen) : chosen.map(({ row, about }) => `${row}: ${about}`).join('\n'));
    return EXIT.ok;
  }
  const interrupts = listenForInterrupts(process.env);
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'systems-')));
  try {
    const report = await run({ python, list, chosen, folder, stop: interrupts.signals.stop });
    if (report === undefined) return EXIT.interrupted;
    if (values['write-docs']) console.error(`wrote ${writeDocs(report, list.rows)}`);
    console.log(values.json ? JSON.stringify(report, null, 2) : tableOf(report));
    return failures(report).length === 0 ? EXIT.ok : EXIT.failed;
  } finally {
    interrupts.end();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function choose({ rows }: List, only: string | undefined): List['rows'] {
  if (only === undefined) return rows;
  const wanted = only.split(',').map((name) => name.trim().toLowerCase());
  const found = rows.filter(({ row }) => wanted.some((name) => row.toLowerCase().includes(name)));
  const unknown = wanted.find((name) => !rows.some(({ row }) => row.toLowerCase().includes(name)));
  if (unknown === undefined) return found;
  throw new UserError(`--only ${unknown}: there are ${rows.map(({ row }) => row).join(', ')}`);
}

interface Running {
  python: string;
  list: List;
  chosen: List['rows'];
  folder: string;
  stop: AbortSignal;
}

/** Undefined where it was interrupted. */
async function run({ python, list, chosen, folder, stop }: Running): Promise<Report | undefined> {
  const began = performance.now();
  const systems: SystemRow[] = chosen.map(({ row, about }) => ({ row, about, cells: {} }));
  const of = (name: string): SystemRow['cells'] => systems.find(({ row }) => row === name)?.cells ?? {};
  const progress = new Progress(chosen.length * list.columns.length, began);
  const put = (row: string, column: string, cell: Cell): void => {
    of(row)[column] = cell;
    progress.tell(row, column, cell);
  };
  let serving = Promise.resolve();
  const onLine = (line: Line): void => {
    if ('folder' in line) {
      const { row, ...served } = line;
      serving = serving.then(async () => {
        if (!stop.aborted) put(row, SERVES, await answerOf(served));
      });
    } else if (line.state !== 'running') put(line.row, line.column, line);
  };
  const ended = await runColumns({ python, rows: chosen.map(({ row }) => row), folder, stop, onLine });
  await serving;
  if (stop.aborted) return undefined;
  for (const { cells } of systems) {
    for (const column of list.columns) cells[column] ??= absent(column, cells, ended);
  }
  return { columns: list.columns, systems, versions: list.versions, seconds: (performance.now() - began) / 1000 };
}

/** What a column is that nothing was said of. */
function absent(column: string, cells: SystemRow['cells'], { code, problem }: Ended): Cell {
  const before = cells.exports;
  if (column === SERVES && before !== undefined && before.state !== 'passed')
    return { state: 'not run', said: before.state === 'failed' ? 'exports failed' : before.said, seconds: 0 };
  return { state: 'failed', said: `the process ended with ${code}: ${problem}`, seconds: 0 };
}

async function answerOf(served: Served): Promise<Cell> {
  const began = performance.now();
  const seconds = (): number => Math.round((performance.now() - began) / 100) / 10;
  try {
    return { said: await serve(served), state: 'passed', seconds: seconds() };
  } catch (error) {
    return { said: String(error), state: 'failed', seconds: seconds() };
  }
}

/** A line for every column that is done, with what is left. */
class Progress {
  #done = 0;
  readonly #all: number;
  readonly #began: number;

  constructor(all: number, began: number) {
    this.#all = all;
    this.#began = began;
  }

  tell(row: string, column: string, cell: Cell): void {
    this.#done += 1;
    const left = ((performance.now() - this.#began) / this.#done) * (this.#all - this.#done);
    console.error(`${this.#done}/${this.#all} ${row}, ${column}: ${cell.state}, ${cell.said} (${inWords(left)} left)`);
  }
}

function inWords(ms: number): string {
  return ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}

if (import.meta.main) await runCommand({ help: HELP, options: OPTIONS }, main);
