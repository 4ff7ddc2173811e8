// `npm run bench`: what the edge costs, against its targets and against the committed ratios, in one run on one machine.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../contracts/command/numbers.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { ALLOWED, Baseline, compare, complaintsOf, percent, readDocument } from './compare/baseline.ts';
import { type Ratio, ratiosOf } from './compare/ratios.ts';
import type { Options, Result } from './measure.ts';
import { printRatios, printTable, rowsOf } from './table.ts';

const HELP = `Usage: npm run bench [-- --json] [--runs N] [--engine wasm|wasm-plain|onnx] [--short]
       npm run bench -- --compare [FILE] [--result FILE]
       npm run bench -- --save FILE

Texts in workerd over HTTP, in the same Worker with onnxruntime-web and in onnxruntime-node with one thread take turns,
after a warm-up; milliseconds are medians of N rounds (default 20); --engine is the Worker's TEXT_ENGINE. What to compare
between machines is the ratio; "net" leaves out what an empty request takes, "CPU" compares processes' CPU time, which
other work on the machine hardly changes. Reads /proc: Linux.

  --compare [FILE]  holds every ratio against FILE's (default test/bench/baseline.json) and ends with 1 where one is more
                    than ${percent(ALLOWED)} worse or was not measured, saying which; wants a machine with nothing else
                    to do, which other work on it slows less for onnxruntime than for us
  --result FILE     compares what an earlier run printed with --json instead of measuring
  --save FILE       writes the ratios of this run as such a file
  --short           shows in seconds that everything runs, not how fast: few texts, rounds and connections, no images
  --json            one JSON document on standard output instead of tables
  --runs N          rounds
  --help            this text
  --version         the version of this program
`;
const OPTIONS = {
  json: { type: 'boolean', default: false },
  runs: { type: 'string' },
  engine: { type: 'string', default: 'wasm' },
  short: { type: 'boolean', default: false },
  compare: { type: 'boolean', default: false },
  result: { type: 'string' },
  save: { type: 'string' },
} as const;
/** Values of the Worker's TEXT_ENGINE. */
const ENGINES = ['wasm', 'wasm-plain', 'onnx'];
const COMMITTED = join(import.meta.dirname, 'baseline.json');

/** What is read of a result; the rest of it is for people. */
const Stored = z.object({
  ratios: z.array(
    z.object({
      name: z.string(),
      value: z.number(),
      better: z.enum(['lower', 'higher']),
      target: z.number().optional(),
    }),
  ),
});

async function main({ values, words: [file] }: CommandLine<typeof OPTIONS>): Promise<number> {
  const { json, engine, short, result } = values;
  const runs = wholeNumberOf('--runs', values.runs, { from: 1 }) ?? (short ? 1 : 20);
  if (!ENGINES.includes(engine)) throw new UserError(`--engine ${engine}: one of ${ENGINES.join(', ')}`);
  if (file !== undefined && !values.compare) throw new UserError(`${file}: a file is read with --compare only`);
  if (result !== undefined && !values.compare) throw new UserError('--result is for --compare');
  // Before the minutes that measuring takes.
  const baseline = values.compare ? readDocument(file ?? COMMITTED, Baseline) : undefined;

  const measured = result === undefined ? await measureAll({ runs, engine, short, onPart }) : undefined;
  const ratios = measured ? ratiosOf(measured) : readRatios(result ?? '');
  if (measured && values.save) save(values.save, measured, ratios);
  const comparison = baseline && compare(ratios, baseline);
  const complaints = comparison ? complaintsOf(short ? { ...comparison, missing: [] } : comparison) : [];
  if (json) {
    const whole = measured ? { ...measured, rows: rowsOf(measured) } : {};
    const compared = comparison ? { comparison: { ...comparison, complaints } } : {};
    console.log(JSON.stringify({ ...whole, ratios, ...compared }, null, 2));
  } else {
    if (measured) printTable(measured);
    printRatios(comparison?.verdicts ?? ratios);
  }
  for (const complaint of complaints) console.error(complaint);
  return complaints.length > 0 ? EXIT.failed : EXIT.ok;
}

/** What it needs takes seconds to load, and comparing files needs none of it. */
async function measureAll(options: Options): Promise<Result> {
  const { measure } = await import('./measure.ts');
  return measure(options);
}

function onPart(part: string): void {
  process.stderr.write(`measuring ${part} …\n`);
}

function readRatios(file: string): Ratio[] {
  return readDocument(file, Stored).ratios.map(({ target, ...ratio }) =>
    target === undefined ? ratio : { ...ratio, target },
  );
}

function save(file: string, result: Result, ratios: Ratio[]): void {
  const { date, machine, versions, runs } = result;
  const rounded = ratios.map(({ name, value }) => [name, Number(value.toPrecision(4))]);
  const document = Baseline.parse({
    date,
    machine: { cpu: machine.cpu, cores: machine.cores, load: machine.load },
    versions,
    runs,
    ratios: Object.fromEntries(rounded),
  });
  writeFileSync(file, `${JSON.stringify(document, undefined, 2)}\n`);
}

await runCommand({ help: HELP, options: OPTIONS, words: 1 }, main);
