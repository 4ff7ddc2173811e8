// `npm run train -- recipes/<name>.json`: plans a recipe, says what it will cost in time, runs what is missing.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ENVARS } from '../../contracts/src/envars.ts';
import type { StageName } from '../../contracts/src/recipe.ts';
import { codeDigest, codeDigests, sourceReader } from './code-digest.ts';
import { createConsole, createJsonConsole } from './console.ts';
import { dataDigest } from './data-digest.ts';
import { estimateSeconds } from './estimate.ts';
import type { Emit, StagePlan } from './events.ts';
import { RefusedError } from './failure.ts';
import { fromFileUri, toFileUri } from './file-uri.ts';
import { installModel } from './install.ts';
import { createPlan, type Plan, type PlannedJob, selectJobs } from './plan.ts';
import { readRecipe } from './recipe-file.ts';
import { finishedRuns, pastRuns, readReport } from './run-folder.ts';
import { type RunOutcome, runJobs } from './runner.ts';
import { INTERRUPTED } from './stage-process.ts';
import { ensureVenv } from './venv.ts';

const HELP = `Usage: npm run train -- recipes/NAME.json [options]

Runs the stages of a recipe on this machine, in order. A finished stage is used again as long as its settings, its
code, its data and its inputs stay the same. After Ctrl-C or a failure the same command goes on where it stopped.

  --plan         show the stages, what is finished and how long the rest takes by earlier runs here; run nothing
  --to STAGE     run STAGE and everything it needs (a name that --plan shows)
  --only STAGE   run STAGE alone; what it needs has to be finished
  --runs DIR     keep runs in DIR instead of runs/ in the repository
  --install      afterwards put the exported model into api/model, where the server reads it
  --json         one JSON object a line on standard output instead of text
  --help         this text

The recipe's path is looked up in the current folder, then in trainer/.
Environment: ${ENVARS.data} is the data folder instead of the recipe's \`data\`. ${ENVARS.python} is a Python interpreter with
the trainer's dependencies, used instead of trainer/.venv, which is otherwise made when the first stage needs it.
Exit codes: 0 done, 1 a stage failed, 2 refused before anything ran, ${INTERRUPTED} interrupted: run the same command again.
`;

/** Where everything is; `root` is the repository. */
export interface Surroundings {
  root: string;
  /** The folder in which the user typed the command. */
  cwd: string;
  env: NodeJS.ProcessEnv;
  stdout: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  stderr: { write(text: string): unknown };
}

interface Options {
  recipe: string;
  plan: boolean;
  to?: string | undefined;
  only?: string | undefined;
  runs?: string | undefined;
  install: boolean;
  json: boolean;
}

/** The whole command; resolves to its exit code. */
export async function train(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stdout, stderr } = surroundings;
  const write = (text: string): void => void stdout.write(text);
  if (argv.includes('--help') || argv.includes('-h')) {
    write(HELP);
    return 0;
  }
  const json = argv.includes('--json');
  const columns = stdout.isTTY === true ? (stdout.columns ?? 80) : null;
  const emit = json ? createJsonConsole(write) : createConsole({ write, columns });
  try {
    return await trainRecipe(parseOptions(argv), surroundings, emit);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    if (json) emit({ event: 'refused', message: error.message });
    else stderr.write(`${error.message}\n`);
    return 2;
  }
}

async function trainRecipe(options: Options, surroundings: Surroundings, emit: Emit): Promise<number> {
  const { root, cwd, env } = surroundings;
  const trainer = join(root, 'trainer');
  const recipeFile = findRecipe(options.recipe, [cwd, trainer]);
  const runs = resolve(cwd, options.runs ?? join(root, 'runs'));
  const recipe = readRecipe(recipeFile);
  const override = env[ENVARS.data] ?? '';
  const data = override === '' ? resolve(dirname(recipeFile), recipe.data) : resolve(cwd, override);
  const onRead = (bytes: number): void => emit({ event: 'reading_data', bytes });
  const read = sourceReader(trainer);
  const plan = createPlan(recipe, {
    code: codeDigests(read),
    data: {
      uri: toFileUri(data),
      digest: await dataDigest(recipe, data, { cache: join(runs, 'data-digests.json'), onRead }),
    },
    runs: toFileUri(runs),
    finished: finishedRuns(runs, recipe.name),
  });
  const jobs = selectedJobs(plan, options);
  const past = pastRuns(runs);
  emit({
    event: 'plan',
    recipe: recipe.name,
    runs,
    stages: jobs.map((planned) => stagePlan(planned, estimateSeconds(planned.job, past))),
  });
  if (options.plan) return 0;

  const exported = plan.jobs.find(({ job }) => job.config.stage === 'export');
  if (options.install && exported?.report === null && !jobs.includes(exported))
    throw new RefusedError(
      '--install: export is not finished and this command does not run it; use at least --to export',
    );
  for (const { job, report } of jobs) {
    const file = `stages/${job.config.stage}.py`;
    if (report === null && read(file) === null)
      throw new RefusedError(`trainer/${file} does not exist: this checkout cannot run ${job.id}`);
  }
  let outcome: RunOutcome = 'succeeded';
  if (jobs.some(({ report }) => report === null)) {
    const python = pythonOverride(env, cwd) ?? (await ensureVenv());
    const interrupts = listenForInterrupts();
    const contracts = join(root, 'contracts', 'python');
    const codeNow = (stage: StageName): string => codeDigest(stage, read);
    outcome = await runJobs(jobs, { python, trainer, contracts, env, emit, codeNow, ...interrupts.signals });
    interrupts.end();
  }
  if (outcome === 'interrupted') return INTERRUPTED;
  if (outcome === 'failed') return 1;
  if (options.install && exported !== undefined) install(exported, join(root, 'api', 'model'), emit);
  return 0;
}

function parseOptions(argv: readonly string[]): Options {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        plan: { type: 'boolean', default: false },
        to: { type: 'string' },
        only: { type: 'string' },
        runs: { type: 'string' },
        install: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
      },
    });
    const [recipe, ...more] = positionals;
    if (recipe === undefined) throw new RefusedError(`Which recipe?\n\n${HELP}`);
    if (more.length > 0) throw new RefusedError(`one recipe at a time, not also ${more.join(' ')}`);
    if (values.to !== undefined && values.only !== undefined)
      throw new RefusedError('--to and --only exclude each other');
    if (values.plan && values.install) throw new RefusedError('--plan runs nothing, so there is nothing to --install');
    return { recipe, ...values };
  } catch (error) {
    // node:util's own sentence names the option.
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
      throw new RefusedError(`${error.message}\n\n${HELP}`);
    }
    throw error;
  }
}

function findRecipe(name: string, folders: readonly string[]): string {
  if (isAbsolute(name)) return name;
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found !== undefined) return found;
  const shelf = folders.map((folder) => join(folder, 'recipes')).find((folder) => existsSync(folder));
  const names = shelf === undefined ? [] : readdirSync(shelf).filter((file) => file.endsWith('.json'));
  const hint = names.length === 0 ? '' : `\nThere are: ${names.map((file) => `recipes/${file}`).join(', ')}`;
  throw new RefusedError(`there is no recipe ${name} in ${folders.join(' or ')}${hint}`);
}

function selectedJobs(plan: Plan, { to, only }: Options): PlannedJob[] {
  const jobs = selectJobs(plan, { to, only });
  if (jobs === null) {
    throw new RefusedError(
      `no stage ${only ?? to} in this recipe; it has ${plan.jobs.map(({ job }) => job.id).join(', ')}`,
    );
  }
  if (only === undefined || jobs.every(({ report }) => report !== null)) return jobs;
  const needs = new Set(jobs.flatMap((planned) => planned.needs));
  const missing = plan.jobs.filter(({ job, report }) => needs.has(job.id) && report === null).map(({ job }) => job.id);
  if (missing.length > 0)
    throw new RefusedError(`${only} needs ${missing.join(', ')}, not finished yet: use --to ${only} to run both`);
  return jobs;
}

function stagePlan({ job, address, report }: PlannedJob, estimated_seconds: number | null): StagePlan {
  const { id, output } = job;
  const status = report === null ? 'queued' : 'succeeded';
  return { id, stage: job.config.stage, status, address, output, seconds: report?.seconds ?? null, estimated_seconds };
}

function install({ job }: PlannedJob, target: string, emit: Emit): void {
  const folder = fromFileUri(job.output);
  const reading = folder === null ? null : readReport(folder);
  if (folder === null || reading?.status !== 'finished')
    throw new RefusedError(`${job.output} holds no finished export`);
  emit({ event: 'installed', ...installModel(folder, reading.report, target) });
}

function pythonOverride(env: NodeJS.ProcessEnv, cwd: string): string | null {
  const python = env[ENVARS.python];
  if (python === undefined || python === '') return null;
  // A bare name is looked up in PATH; the stage's working directory is another one than the user's.
  return python.includes('/') ? resolve(cwd, python) : python;
}

/** npm passes on a Ctrl-C that the terminal has already sent to us: two within a second are one. */
const ONE_PRESS_MS = 1_000;

/** First Ctrl-C (or SIGTERM, or a closed terminal): stop after a checkpoint. A second one: kill. */
function listenForInterrupts(): { signals: { stop: AbortSignal; kill: AbortSignal }; end(): void } {
  const [stop, kill] = [new AbortController(), new AbortController()];
  let stoppedAt = 0;
  const onSignal = (): void => {
    if (!stop.signal.aborted) {
      stoppedAt = Date.now();
      stop.abort();
    } else if (Date.now() - stoppedAt > ONE_PRESS_MS) kill.abort();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  return {
    signals: { stop: stop.signal, kill: kill.signal },
    end() {
      for (const name of names) process.removeListener(name, onSignal);
    },
  };
}

if (import.meta.main) {
  // npm starts scripts in the repository's root and tells where the user stood.
  const cwd = process.env.INIT_CWD ?? process.cwd();
  const root = resolve(import.meta.dirname, '..', '..');
  process.exitCode = await train(process.argv.slice(2), {
    root,
    cwd,
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}
