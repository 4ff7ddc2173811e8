// The command `npm run model`: lists what is published, publishes what passes the gate, rolls back.
import { join } from 'node:path';
import { candidateOf } from '../../../api/pack/candidate.ts';
import { decide, decideAdapted } from '../../../api/registry/gate.ts';
import { activeReleases, readHistory, readIncumbent } from '../../../api/registry/history.ts';
import { publishModel, rollback } from '../../../api/registry/publish.ts';
import { readManifest } from '../../../api/registry/read.ts';
import type { ObjectStore } from '../../../api/registry/store.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { answerCommand, readCommandLine, runMain } from '../../../contracts/command/command-line.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { listPrefix, modelOfPointer } from '../../../contracts/src/keys.ts';
import type { ModelRelease } from '../../../contracts/src/model/release.ts';
import type { GateDecision, Published } from '../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { type Deployment, outputsFile, readDeployment } from '../aws/deployment.ts';
import { readSubmittedPlan } from '../aws/submitted-plan.ts';
import { planHere } from '../local/plan.ts';
import { stageOf } from '../plan/pipeline-plan.ts';
import type { Plan, PlannedJob } from '../plan/plan.ts';
import { type ResolvedRecipe, resolveRecipe } from '../recipe/locate.ts';
import { type CommandContext, openRegistryOf, processContext, runsFolder } from './context.ts';
import { calibrateModel } from './exchange/calibrate-model.ts';
import { exportModel } from './exchange/export-model.ts';
import { importModel } from './exchange/import-model.ts';

const HELP = `Usage: npm run model -- list [NAME] [options]
       npm run model -- publish recipes/NAME.json [options]
       npm run model -- rollback NAME [options]
       npm run model -- export NAME --format FORMAT [options]
       npm run model -- import SOURCE [--name NAME] [options]
       npm run model -- calibrate NAME --images PATH --model-version TEXT [--to FOLDER] [options]

A registry holds models by digest and, for each name, a pointer to the current one. Servers follow the pointer.

  list            the current model and every release of it, the newest first; without NAME the names there are
  publish         pack the text weights of the recipe's finished model, embed its golden texts with them, hold it against the gate
                  and, if it passes, publish it: files, manifest, pointer
  rollback        point back to the model before the current one; nothing is copied or deleted
  export          write a model for another library: its current one, the embedded one, or that of a folder with manifest.json
  import          make a published CLIP or SigLIP a model and publish it: a folder of transformers or open_clip, or a file
                  of weights with --architecture. With --distil a small text student learns its text vectors from captions
                  first, where no isolate holds its own text tower; it says how long that takes, and Ctrl-C keeps what was
                  done
  calibrate       fit again what scores and verdicts of a model mean, on images with captions that it did not learn from, and
                  write a new version into a folder of its own: every other file, and the space, stay byte for byte. For a model that was
                  imported or fine-tuned, whose searches have no verdict. NAME is as for export

  --registry URI  file:// or s3:// (default $${ENVARS.registry}, else registry/ in the repository, which \`npm start\` follows)
  --check         publish: only ask the gate; exit 1 if it rejects
  --force REASON  publish: in spite of the gate; the reason is kept with the release
  --runs DIR      publish, import --distil: where the recipe's runs are (default runs/ in the repository); export: where the
                  runs of distill and clip may be, whose float weights are taken where the model was exported from them
  --to DIGEST     rollback: to this manifest, as list shows it
  --to FOLDER     export, calibrate: a folder that is not there yet (default NAME.FORMAT, NAME-VERSION)
  --images PATH   calibrate: images with captions, at least 100, of which 50 have two; any form that finetune reads
  --format FORMAT export: hf, onnx, open_clip, safetensors or sentence-transformers
  --tier TIER,…   export: these text tiers only; image: the image tower alone (hf, onnx)
  --name NAME     import: the model's name (default: that of the folder or file)
  --model-version TEXT   import, calibrate: kept in the manifest (default of import: 1)
  --licence TEXT  import: kept in the manifest (default: not stated)
  --architecture NAME   import: open_clip's name of what a file of weights belongs to
  --distil        import: train text students, as trainer/recipes/imitate.json says; its texts are those of the recipe, or of
  --captions FILE      a caption a line, JSON lines or a table with a column caption, captions or text
  --features FILE      their vectors by the language model of LLM2CLIP: safetensors with features [N, D], a row a caption
  --steps N, --recipe FILE   of the student, and what the students' recipe extends instead of imitate
  --reason TEXT   rollback: why; kept with the release
  --on aws        runs and registry of the deployment, by --outputs FILE (default the only cdk-outputs*.json here)
  --json          one JSON object instead of text
  --help          this text
  --version       the version of this program

An S3 registry that is not AWS's own: $${ENVARS.registryEndpoint} is its endpoint, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY its keys.
Exit codes: 0 done, 1 the gate rejected the model, 2 refused: what cannot be expressed in a format, for instance.
`;

interface ModelOptions {
  registry?: string | undefined;
  check: boolean;
  force?: string | undefined;
  runs?: string | undefined;
  to?: string | undefined;
  reason?: string | undefined;
  format?: string | undefined;
  tier?: string | undefined;
  name?: string | undefined;
  'model-version'?: string | undefined;
  licence?: string | undefined;
  architecture?: string | undefined;
  distil: boolean;
  captions?: string | undefined;
  features?: string | undefined;
  steps?: string | undefined;
  recipe?: string | undefined;
  images?: string | undefined;
  on?: string | undefined;
  outputs?: string | undefined;
  json: boolean;
}

/** The whole command; resolves to its exit code. */
export async function model(argv: readonly string[], context: CommandContext): Promise<number> {
  const { stdout } = context;
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { command, subject, options } = parseOptions(argv);
    const print = (document: object, lines: readonly string[]): void => {
      stdout.write(options.json ? `${JSON.stringify(document)}\n` : `${lines.join('\n')}\n`);
    };
    const registry = openRegistryOf(options, context, onAws(options, context));
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
      const { manifest } = await readManifest(registry, release.manifest);
      return { ...release, version: manifest.version };
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
  for (const { job, report } of [exported, evaluated]) {
    if (report === undefined)
      throw new UserError(`${job.id} of ${plan.recipe} is not finished: npm run train -- ${recipeName} does it`);
  }
  const dev_data = plan.measuredOn ?? data.contentAddress;
  const candidate = await candidateOf({ exported: exported.job.output, evaluated: evaluated.job.output, dev_data });
  const judge = isAdapted ? decideAdapted : decide;
  const judged = judge(candidate, await readIncumbent(registry, candidate.manifest.name));
  const decision = forced(judged, options.force);
  const { name, version } = candidate.manifest;
  const isPublished = decision.decision === 'publish' && !options.check;
  const published: Published | null = isPublished ? await publishModel(registry, candidate, decision) : null;
  const verdict = decision.decision === 'publish' ? 'may be published' : 'is rejected';
  print({ ...decision, published }, [
    ...decision.checks.map(checkText),
    published === null ? `${name} ${version} ${verdict}:` : `${name} ${version} is current in ${registry.uri}:`,
    ...decision.reasons.map((reason) => `  ${reason}`),
  ]);
  return decision.decision === 'publish' ? EXIT.ok : EXIT.failed;
}

/** A person may overrule the figures, not that a model is current already. */
function forced(decision: GateDecision, reason: string | undefined): GateDecision {
  if (reason === undefined || decision.decision === 'publish' || decision.checks.length === 0) return decision;
  return { ...decision, decision: 'publish', reasons: [`in spite of the gate: ${reason}`, ...decision.reasons] };
}

async function planOnAws({ recipe }: ResolvedRecipe, options: ModelOptions, context: CommandContext): Promise<Plan> {
  const { trainingBucket } = deploymentOf(options, context);
  return (await readSubmittedPlan(recipe.name, openStore(`s3://${trainingBucket}`))).plan;
}

/** The registry of the deployment; undefined without --on aws. */
function onAws(options: ModelOptions, context: CommandContext): (() => string) | undefined {
  return options.on === 'aws' ? () => `s3://${deploymentOf(options, context).modelsBucket}` : undefined;
}

function deploymentOf({ outputs }: ModelOptions, { root, cwd }: CommandContext): Deployment {
  return readDeployment(outputsFile(outputs, { root, cwd }));
}

function releaseText({ moved_at, action, version, manifest, reasons }: ModelRelease & { version: string }): string {
  const verb = action === 'publish' ? 'published' : 'rolled back to';
  return `${moved_at}  ${verb} ${version}  ${manifest}  ${reasons.join('; ')}`;
}

function checkText({ name, value, limit, bound, passed }: GateDecision['checks'][number]): string {
  const sign = bound === 'min' ? '>=' : '<=';
  const measured = value === null ? 'not measured' : Number(value.toFixed(4));
  return `  ${passed ? 'ok  ' : 'FAIL'} ${name} ${measured} ${sign} ${Number(limit.toFixed(4))}`;
}

const OPTIONS = {
  registry: { type: 'string' },
  check: { type: 'boolean', default: false },
  force: { type: 'string' },
  runs: { type: 'string' },
  to: { type: 'string' },
  reason: { type: 'string' },
  format: { type: 'string' },
  tier: { type: 'string' },
  name: { type: 'string' },
  'model-version': { type: 'string' },
  licence: { type: 'string' },
  architecture: { type: 'string' },
  distil: { type: 'boolean', default: false },
  captions: { type: 'string' },
  features: { type: 'string' },
  steps: { type: 'string' },
  recipe: { type: 'string' },
  images: { type: 'string' },
  on: { type: 'string' },
  outputs: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

const COMMANDS = ['list', 'publish', 'rollback', 'export', 'import', 'calibrate'] as const;
type ModelCommand = (typeof COMMANDS)[number];

/** Options that some commands alone take. */
const OWNERS: Record<string, readonly ModelCommand[]> = {
  check: ['publish'],
  force: ['publish'],
  runs: ['publish', 'export', 'import'],
  to: ['rollback', 'export', 'calibrate'],
  reason: ['rollback'],
  format: ['export'],
  tier: ['export'],
  name: ['import'],
  'model-version': ['import', 'calibrate'],
  images: ['calibrate'],
  licence: ['import'],
  architecture: ['import'],
  distil: ['import'],
  captions: ['import'],
  features: ['import'],
  steps: ['import'],
  recipe: ['import'],
};

const ASKED: Record<Exclude<ModelCommand, 'list'>, string> = {
  publish: 'publish which recipe?',
  rollback: 'roll back which model? list shows their names',
  export: 'export which model? list shows their names',
  calibrate: 'calibrate which model? Its folder, or a name that list shows',
  import: 'import what? A folder of transformers or open_clip, or a file of weights',
};

function parseOptions(argv: readonly string[]): {
  command: ModelCommand;
  subject: string;
  options: ModelOptions;
} {
  const { values, words } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 2 });
  const [word, subject = ''] = words;
  const command = COMMANDS.find((name) => name === word);
  if (command === undefined)
    throw new UserError(`${word ?? 'no command'}: there are ${COMMANDS.join(', ')}\n\n${HELP}`);
  if (subject === '' && command !== 'list') throw new UserError(ASKED[command]);
  const given = new Map(Object.entries(values));
  for (const [option, owners] of Object.entries(OWNERS)) {
    const value = given.get(option);
    if (value !== undefined && value !== false && !owners.includes(command))
      throw new UserError(`--${option} goes with ${owners.join(' and ')}, not with ${command}`);
  }
  if (values.on !== undefined && values.on !== 'aws') throw new UserError(`--on ${values.on}: there is only aws`);
  if (values.on === 'aws' && values.runs !== undefined)
    throw new UserError('--on aws has its runs in its bucket: --runs does not go with it');
  return { command, subject, options: values };
}

if (import.meta.main) await runMain(() => model(process.argv.slice(2), processContext(process.env)));
