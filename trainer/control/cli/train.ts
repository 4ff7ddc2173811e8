// The command `npm run train`: plans a recipe, says what it will cost, runs what is missing here or on AWS.
import { join, resolve } from 'node:path';
import { fromFileUri } from '../../../api/registry/stores/file-uri.ts';
import { standardAnswer } from '../../../contracts/command/command-line.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { installModel } from '../local/install.ts';
import { planHere, runsFolder } from '../local/plan.ts';
import { type RunOutcome, runJobs } from '../local/run.ts';
import { ensureVenv } from '../local/venv.ts';
import { codeDigest, sourceReader } from '../plan/code-digest.ts';
import type { PlannedJob } from '../plan/plan.ts';
import { selectJobs } from '../plan/select-jobs.ts';
import { stagePlans } from '../plan/stage-plan.ts';
import { type ResolvedRecipe, resolveRecipe } from '../recipe/locate.ts';
import type { Emit } from '../run/events.ts';
import { pastRuns, readReport } from '../run/folder.ts';
import { createConsole, createJsonConsole } from './console.ts';
import type { CommandContext } from './context.ts';
import { listenForInterrupts } from './interrupts.ts';
import { parseTrainOptions, TRAIN_HELP, type TrainOptions } from './train-options.ts';

/** The whole command; resolves to its exit code. */
export async function train(argv: readonly string[], context: CommandContext): Promise<number> {
  const { stdout, stderr, root, cwd, env } = context;
  const write = (text: string): void => void stdout.write(text);
  const answer = standardAnswer(argv, TRAIN_HELP);
  if (answer !== undefined) {
    write(answer);
    return EXIT.ok;
  }
  const json = argv.includes('--json');
  const columns = stdout.isTTY === true ? (stdout.columns ?? 80) : undefined;
  const emit = json ? createJsonConsole(write) : createConsole({ write, columns });
  try {
    const options = parseTrainOptions(argv);
    const resolved = resolveRecipe(options.recipe, { folders: [cwd, join(root, 'trainer')], cwd, env });
    if (options.on === 'here') return await trainHere(resolved, options, context, emit);
    // Loaded only here: a run on this machine needs none of the AWS clients.
    const { trainOnAws } = await import('./train-on-aws.ts');
    return await trainOnAws(resolved, options, { root, cwd, emit });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (json) emit({ event: 'refused', message: error.message });
    else stderr.write(`${error.message}\n`);
    return EXIT.usage;
  }
}

async function trainHere(
  resolved: ResolvedRecipe,
  options: TrainOptions,
  { root, cwd, env }: CommandContext,
  emit: Emit,
): Promise<number> {
  const trainer = join(root, 'trainer');
  const runs = runsFolder(options, { root, cwd });
  const read = sourceReader(trainer);
  const plan = await planHere(resolved, { root, runs, onRead: (bytes) => emit({ event: 'reading_data', bytes }) });
  const jobs = selectJobs(plan, options);
  const stages = stagePlans(jobs, pastRuns(runs));
  emit({ event: 'plan', recipe: plan.recipe, runs, stages, prices: null });
  if (options.plan) return EXIT.ok;

  const exported = plan.jobs.find(({ job }) => job.config.stage === 'export');
  if (options.install && exported !== undefined && exported.report === undefined && !jobs.includes(exported))
    throw new UserError('--install: export is not finished and this command does not run it; use at least --to export');
  for (const { job, report } of jobs) {
    const file = `stages/${job.config.stage}.py`;
    if (report === undefined && read(file) === undefined)
      throw new UserError(`trainer/${file} does not exist: this checkout cannot run ${job.id}`);
  }
  let outcome: RunOutcome = 'succeeded';
  if (jobs.some(({ report }) => report === undefined)) {
    const python = pythonOverride(env, cwd) ?? (await ensureVenv());
    const interrupts = listenForInterrupts();
    const contracts = join(root, 'contracts', 'python');
    const codeNow = (stage: StageName): string => codeDigest(stage, read);
    outcome = await runJobs(jobs, { python, trainer, contracts, env, emit, codeNow, ...interrupts.signals });
    interrupts.end();
  }
  if (outcome === 'interrupted') return EXIT.interrupted;
  if (outcome === 'failed') return EXIT.failed;
  if (options.install && exported !== undefined) install(exported, join(root, 'api', 'model'), emit);
  return EXIT.ok;
}

function install({ job }: PlannedJob, target: string, emit: Emit): void {
  const folder = fromFileUri(job.output);
  const reading = folder === undefined ? undefined : readReport(folder);
  if (folder === undefined || reading?.status !== 'finished')
    throw new UserError(`${job.output} holds no finished export`);
  emit({ event: 'installed', ...installModel(folder, reading.report, target) });
}

function pythonOverride(env: NodeJS.ProcessEnv, cwd: string): string | undefined {
  const python = env[ENVARS.python];
  if (python === undefined || python === '') return undefined;
  // A bare name is looked up in PATH; the stage's working directory is another one than the user's.
  return python.includes('/') ? resolve(cwd, python) : python;
}

if (import.meta.main) {
  // npm starts scripts in the repository's root and tells where the user stood.
  const cwd = process.env.INIT_CWD ?? process.cwd();
  const root = resolve(import.meta.dirname, '../../..');
  process.exitCode = await train(process.argv.slice(2), {
    root,
    cwd,
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}
