// The command `npm run model`: lists what is published, publishes what passes the gate, rolls back.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { candidateOf } from '../../../api/pack/candidate.ts';
import { RegistryError } from '../../../api/registry/errors.ts';
import { decide, decideAdapted } from '../../../api/registry/gate.ts';
import { activeReleases, readHistory, readIncumbent } from '../../../api/registry/history.ts';
import { publishModel, rollback } from '../../../api/registry/publish.ts';
import { readManifest } from '../../../api/registry/read.ts';
import type { ObjectStore } from '../../../api/registry/store.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { answerCommand } from '../../../contracts/command/command-line.ts';
import { shellWord } from '../../../contracts/command/shell.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { FILES, listPrefix, modelOfPointer } from '../../../contracts/src/keys.ts';
import type { ModelRelease } from '../../../contracts/src/model/release.ts';
import type { GateDecision, Published } from '../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { openDeployedRegistry, outputsFile, readDeployment } from '../aws/deployment.ts';
import { readSubmittedPlan } from '../aws/submitted-plan.ts';
import { planHere } from '../local/plan.ts';
import { stageOf } from '../plan/pipeline-plan.ts';
import type { Plan, PlannedJob } from '../plan/plan.ts';
import { type ResolvedRecipe, resolveRecipe } from '../recipe/locate.ts';
import { type CommandContext, openRegistryOf, processContext, runsFolder } from './context.ts';
import { calibrateModel } from './exchange/calibrate-model.ts';
import { exportModel } from './exchange/export-model.ts';
import { importModel } from './exchange/import-model.ts';
import { type FolderPublication, publishFolder, restoreCurrent } from './exchange/model-in-folder.ts';
import { MODEL_HELP, type ModelOptions, parseModelOptions } from './exchange/model-options.ts';
import { runStoppable } from './interrupts.ts';

/** The whole command; resolves to its exit code. */
export async function model(argv: readonly string[], context: CommandContext): Promise<number> {
  const { stdout } = context;
  return answerCommand(argv, { help: MODEL_HELP, ...context }, async () => {
    const { command, subject, options } = parseModelOptions(argv);
    const print = (document: object, lines: readonly string[]): void => {
      stdout.write(options.json ? `${JSON.stringify(document)}\n` : `${lines.join('\n')}\n`);
    };
    const registry = registryOf(options, context);
    if (command === 'list') return await list(registry, subject, print);
    if (command === 'publish') return await publish(subject, { registry, options, context, print });
    if (command === 'export') return await exportModel(subject, options, { registry, context });
    if (command === 'calibrate') return await calibrateModel(subject, options, { registry, context });
    if (command === 'import') return await importModel(subject, options, { registry, context });
    const reason = options.reason ?? 'rolled back by hand';
    const back = await rollback(registry, subject, { to: options.to, reason });
    print(back, [`${back.name} is back at ${back.manifest}`]);
    return EXIT.ok;
  });
}

type Print = (document: object, lines: readonly string[]) => void;

async function list(registry: ObjectStore, name: string, print: Print): Promise<number> {
  if (name === '') {
    const keys = await registry.list(listPrefix('models'));
    const names = keys.flatMap(({ key }) => modelOfPointer(key) ?? []);
    print({ registry: registry.uri, names }, names.length === 0 ? [`${registry.uri} holds no model`] : names);
    return EXIT.ok;
  }
  const releases = await readHistory(registry, name);
  if (releases.length === 0) throw new UserError(`nothing was ever published as ${name} in ${registry.uri}`);
  const current = activeReleases(releases).at(-1)?.manifest ?? null;
  const rows = await Promise.all(
    releases.map(async ({ schema_version: _, ...release }) => {
      // One that is damaged hides none of the others: they are what is gone back to.
      const version = await readManifest(registry, release.manifest).then(
        ({ manifest }) => manifest.version,
        (error: unknown) => {
          if (!(error instanceof RegistryError) || error.isTransient) throw error;
          return null;
        },
      );
      return { ...release, version };
    }),
  );
  print({ name, current, moves: rows }, [
    `${name} in ${registry.uri}, current: ${current}`,
    ...rows.map((row, index) => `${index === 0 ? '* ' : '  '}${releaseText(row)}`),
  ]);
  return EXIT.ok;
}

interface PublishContext {
  registry: ObjectStore;
  options: ModelOptions;
  context: CommandContext;
  print: Print;
}

async function publish(recipeName: string, { registry, options, context, print }: PublishContext): Promise<number> {
  const { root, cwd, env } = context;
  const folder = resolve(cwd, recipeName);
  if (existsSync(join(folder, FILES.manifest))) {
    const { decision, published, manifest } = await publishFolder(registry, folder, options);
    printDecision({ decision, published, manifest }, { registry, print });
    return EXIT.ok;
  }
  const resolved = resolveRecipe(recipeName, { folders: [cwd, join(root, 'trainer')], cwd, env });
  const plan =
    options.on === 'aws'
      ? await planOnAws(resolved, options, context)
      : await planHere(resolved, { root, runs: runsFolder(options, context), onRead: () => {} });
  // An adapted model is its own run of one stage; a trained one is exported and evaluated.
  const isAdapted = resolved.recipe.adapt !== undefined && resolved.recipe.export === undefined;
  const [exported, evaluated, data] = (
    isAdapted ? (['adapt', 'adapt', 'adapt'] as const) : (['export', 'evaluate', 'prepare'] as const)
  ).map((stage) => stageOf(plan, stage)) as [PlannedJob, PlannedJob, PlannedJob];
  const asHere = options.runs === undefined ? '' : ` --runs ${shellWord(options.runs)}`;
  const madeBefore = isAdapted
    ? '; a model that other code or settings made is published by its folder, with --force REASON'
    : '';
  for (const { job, report } of [exported, evaluated]) {
    if (report === undefined)
      throw new UserError(
        `${job.id} of ${plan.recipe} is not finished: npm run train -- ${shellWord(recipeName)}${asHere} does it${madeBefore}`,
      );
  }
  const dev_data = plan.measuredOn ?? data.contentAddress;
  const candidate = await candidateOf({ exported: exported.job.output, evaluated: evaluated.job.output, dev_data });
  const restored = options.check ? undefined : await restoreCurrent(registry, candidate);
  if (restored !== undefined) {
    printDecision(restored, { registry, print });
    return EXIT.ok;
  }
  const judge = isAdapted ? decideAdapted : decide;
  const judged = judge(candidate, await readIncumbent(registry, candidate.manifest.name));
  const decision = forced(judged, options.force);
  const isPublished = decision.decision === 'publish' && !options.check;
  const published: Published | null = isPublished ? await publishModel(registry, candidate, decision) : null;
  printDecision({ decision, published, manifest: candidate.manifest }, { registry, print });
  return decision.decision === 'publish' ? EXIT.ok : EXIT.failed;
}

function printDecision(
  { decision, published, manifest: { name, version } }: FolderPublication,
  { registry, print }: { registry: ObjectStore; print: Print },
): void {
  const verdict = decision.decision === 'publish' ? 'may be published' : 'is rejected';
  print({ ...decision, published }, [
    ...decision.checks.map(checkText),
    published === null ? `${name} ${version} ${verdict}:` : `${name} ${version} is current in ${registry.uri}:`,
    ...decision.reasons.map((reason) => `  ${reason}`),
  ]);
}

/** A person may overrule the figures, not that a model is current already. */
function forced(decision: GateDecision, reason: string | undefined): GateDecision {
  if (reason === undefined || decision.decision === 'publish' || decision.checks.length === 0) return decision;
  return { ...decision, decision: 'publish', reasons: [`in spite of the gate: ${reason}`, ...decision.reasons] };
}

async function planOnAws({ recipe }: ResolvedRecipe, options: ModelOptions, context: CommandContext): Promise<Plan> {
  const { trainingBucket } = readDeployment(outputsFile(options.outputs, context));
  return (await readSubmittedPlan(recipe.name, openStore(`s3://${trainingBucket}`))).plan;
}

/** With --on aws the registry that the deployment publishes to, whatever the variables of this machine say. */
function registryOf(options: ModelOptions, context: CommandContext): ObjectStore {
  if (options.on !== 'aws' || options.registry !== undefined) return openRegistryOf(options, context);
  return openDeployedRegistry(outputsFile(options.outputs, context));
}

function releaseText(release: ModelRelease & { version: string | null }): string {
  const { moved_at, action, version, manifest, reasons } = release;
  const verb = action === 'publish' ? 'published' : 'rolled back to';
  return `${moved_at}  ${verb} ${version ?? '(its manifest is missing or damaged)'}  ${manifest}  ${reasons.join('; ')}`;
}

function checkText({ name, value, limit, bound, passed }: GateDecision['checks'][number]): string {
  const sign = bound === 'min' ? '>=' : '<=';
  const measured = value === null ? 'not measured' : Number(value.toFixed(4));
  return `  ${passed ? 'ok  ' : 'FAIL'} ${name} ${measured} ${sign} ${Number(limit.toFixed(4))}`;
}

if (import.meta.main) await runStoppable(model, processContext(process.env), { tells: 'document' });
