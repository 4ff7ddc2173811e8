// The train command on this machine: plans, runs what is missing and installs the exported model when asked.
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fromFileUri } from '../../../api/registry/stores/file-uri.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import type { TrainingReport } from '../../../contracts/src/training/job.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { evaluatedCard, installModel } from '../local/install.ts';
import { type Machine, sharesOf, slowdownOf, visibleGpus } from '../local/machine-share.ts';
import { planHere } from '../local/plan.ts';
import { type RunnerOptions, runJobs } from '../local/run.ts';
import type { RunOutcome } from '../local/side-by-side.ts';
import { ensureVenv } from '../local/venv.ts';
import { codeDigest, sourceReader } from '../plan/code-digest.ts';
import { comparableHere } from '../plan/estimate.ts';
import { featureWidth, languageForm, languageNeeds, type TensorsOf } from '../plan/forms/language-needs.ts';
import { stageOf } from '../plan/pipeline-plan.ts';
import type { Plan, PlannedJob } from '../plan/plan.ts';
import { selectJobs } from '../plan/select-jobs.ts';
import { secondsOn } from '../plan/stage-needs.ts';
import { sideBySideOf, stagePlans } from '../plan/stage-plan.ts';
import { bytesOf, type DataIndex } from '../recipe/data-index.ts';
import { indexOf, type ResolvedRecipe } from '../recipe/locate.ts';
import { tensorsBelow } from '../recipe/tensors.ts';
import type { Emit } from '../run/events.ts';
import { pastRuns, readReport } from '../run/folder.ts';
import { consoleOf } from './console.ts';
import { type CommandContext, embeddedModel, runsFolder } from './context.ts';
import { listenForInterrupts } from './interrupts.ts';
import { packagesIn, pythonOverride } from './python.ts';
import type { TrainOptions } from './train-options.ts';

interface LocalContext extends Pick<CommandContext, 'root' | 'cwd' | 'env'> {
  emit: Emit;
  /** Of the same recipe, where the caller has planned it already. */
  plan?: Plan;
}

/** Resolves to the exit code. */
export async function trainHere(
  resolved: ResolvedRecipe,
  options: TrainOptions,
  context: LocalContext,
): Promise<number> {
  const { root, env, emit } = context;
  const machine: Machine = { cores: availableParallelism(), gpus: visibleGpus(env) };
  const shares = sharesOf(machine, options, env);
  const runs = runsFolder(options, context);
  const onRead = (bytes: number): void => emit({ event: 'reading_data', bytes });
  const data = context.plan ? undefined : await indexOf(resolved, runs, onRead);
  const plan = context.plan ?? (await planHere(resolved, { root, runs, onRead, data }));
  const jobs = selectJobs(plan, options.ablate === undefined ? options : { to: 'compare' });
  const tensorsOf = tensorsBelow(join(root, 'trainer'));
  const computed = computedHere(resolved.recipe, { jobs, data, tensorsOf, machine });
  const past = comparableHere(pastRuns(runs), { gpus: machine.gpus.length, ranks: options.ranks });
  const stages = stagePlans(jobs, past, computed);
  const slowdown = (stage: StageName): number =>
    options.parallel === 1 ? 1 : slowdownOf(machine, { ...options, stage }, env);
  const beside = options.parallel === 1 ? null : sideBySideOf(stages, jobs, { parallel: options.parallel, slowdown });
  emit({ event: 'plan', recipe: plan.recipe, runs, stages, side_by_side: beside, prices: null });
  const needs = languageNeeds(resolved.recipe, tensorsOf);
  if (needs.length > 0) emit({ event: 'language_needs', needs });
  if (options.plan) return EXIT.ok;
  const exported = options.install ? stageOf(plan, 'export') : undefined;
  if (exported !== undefined && exported.report === undefined && !jobs.includes(exported))
    throw new UserError('--install: export is not finished and this command does not run it; use at least --to export');
  const outcome = await run(jobs, { ranks: options.ranks, shares, slowdown }, context);
  if (outcome === 'interrupted') return EXIT.interrupted;
  if (outcome === 'failed') return EXIT.failed;
  for (const { job } of jobs) if (job.config.stage === 'compare') showComparison(job.output, emit);
  const evaluated = plan.jobs.find(({ job }) => job.config.stage === 'evaluate');
  if (exported !== undefined) install({ exported, evaluated, target: embeddedModel(context) }, emit);
  return EXIT.ok;
}

interface Known {
  jobs: readonly PlannedJob[];
  data: DataIndex | undefined;
  tensorsOf: TensorsOf;
  machine: Machine;
}

/** Seconds of stages by their closed forms on this machine's cores; none where a GPU computes them. */
function computedHere(recipe: Recipe, { jobs, data, tensorsOf, machine }: Known): ReadonlyMap<StageName, number> {
  if (machine.gpus.length > 0) return new Map();
  return secondsOn(machine.cores, {
    recipe,
    jobs,
    features: featureWidth(recipe, tensorsOf),
    data: data && { all: bytesOf([data]), tars: data.tars.bytes, children: 1 },
    languageForm: (stage, facts) => languageForm(stage, { recipe, tensorsOf, facts }),
  });
}

/**
 * Runs a recipe of one stage that a command has written. Resolves to the finished run, or to the exit code where it was stopped
 * or failed.
 */
export async function trainWritten(
  recipe: ResolvedRecipe,
  { runs, options, context }: { runs: string; options: { json: boolean }; context: CommandContext },
): Promise<FinishedRun | number> {
  const { root, cwd, env } = context;
  const emit = consoleOf(context, options);
  const { name } = recipe.recipe;
  const asked = { show: false, plan: false, install: false, on: 'here', follow: false, ranks: 1, parallel: 1 } as const;
  const plan = await planHere(recipe, { root, runs, onRead: (bytes) => emit({ event: 'reading_data', bytes }) });
  const code = await trainHere(
    recipe,
    { command: 'run', recipe: name, ...asked, runs },
    { root, cwd, env, emit, plan },
  );
  if (code !== EXIT.ok) return code;
  const finished = plan.jobs[0] === undefined ? undefined : finishedRun(plan.jobs[0]);
  if (finished === undefined) throw new UserError(`${name}: its run left no report; run the command again`);
  return finished;
}

/** What stage `compare` wrote: a table for people, the same as a document. */
function showComparison(output: string, emit: Emit): void {
  const folder = fromFileUri(output) ?? output;
  const [table, document] = [join(folder, 'comparison.md'), join(folder, 'comparison.json')];
  if (!existsSync(table) || !existsSync(document)) return;
  const comparison: unknown = JSON.parse(readFileSync(document, 'utf8'));
  emit({ event: 'comparison', table: readFileSync(table, 'utf8'), comparison });
}

/** Runs what is missing of the jobs. Throws a UserError, before anything runs, for a stage that this checkout lacks. */
async function run(
  jobs: readonly PlannedJob[],
  division: Pick<RunnerOptions, 'ranks' | 'shares' | 'slowdown'>,
  { root, cwd, env, emit }: LocalContext,
): Promise<RunOutcome> {
  const { trainer, contracts } = packagesIn(root);
  const read = sourceReader(trainer);
  const missing = jobs.filter(({ report }) => report === undefined);
  for (const { job } of missing) {
    const file = `stages/${job.config.stage}.py`;
    if (read(file) === undefined)
      throw new UserError(`trainer/${file} does not exist: this checkout cannot run ${job.id}`);
  }
  if (missing.length === 0) return 'succeeded';
  const python = pythonOverride({ env, cwd }) ?? (await ensureVenv({ env }));
  const codeNow = (stage: StageName): string => codeDigest(stage, read);
  const interrupts = listenForInterrupts(env);
  const outcome = await runJobs(jobs, {
    python,
    trainer,
    contracts,
    env,
    emit,
    codeNow,
    ...division,
    ...interrupts.signals,
  });
  interrupts.end();
  return outcome;
}

interface Install {
  exported: PlannedJob;
  evaluated: PlannedJob | undefined;
  target: string;
}

function install({ exported, evaluated, target }: Install, emit: Emit): void {
  const found = finishedRun(exported);
  if (found === undefined) throw new UserError(`${exported.job.output} holds no finished export`);
  const measured = evaluated === undefined ? undefined : finishedRun(evaluated);
  const card = measured === undefined ? undefined : evaluatedCard(measured.folder, measured.report);
  emit({ event: 'installed', ...installModel(found.folder, found.report, { target, card }) });
}

export interface FinishedRun {
  folder: string;
  report: TrainingReport;
}

/** The folder of a job of this machine and its report; undefined while it is not finished. */
export function finishedRun({ job }: PlannedJob): FinishedRun | undefined {
  const folder = fromFileUri(job.output);
  const reading = folder === undefined ? undefined : readReport(folder);
  return folder !== undefined && reading?.status === 'finished' ? { folder, report: reading.report } : undefined;
}
