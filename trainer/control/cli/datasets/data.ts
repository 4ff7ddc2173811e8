// The command `npm run data`: pushes data into the bucket of a deployment, where it starts its recipe's training.
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { answerCommand, readCommandLine } from '../../../../contracts/command/command-line.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { RecipeName } from '../../../../contracts/src/names.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { listDatasets, type PushOptions, pushDataset, showDataset } from '../../aws/datasets.ts';
import { outputsFile, readDeployment } from '../../aws/deployment.ts';
import { indexFolder, indexOf, resolveRecipe } from '../../recipe/locate.ts';
import type { Emit } from '../../run/events.ts';
import { findSubmitted } from '../../run/stored-plan.ts';
import { consoleOf } from '../console.ts';
import { type CommandContext, processContext } from '../context.ts';
import { runStoppable } from '../interrupts.ts';

const HELP = `Usage: npm run data -- push FOLDER|RECIPE [--name NAME] [options]
       npm run data -- list [options]
       npm run data -- show NAME [options]

Data in the cloud that changes. A push sends the files that are not stored yet, writes their index and, last, moves the
pointer of the dataset to it. That starts the training pipeline: where the data is new, what is missing is trained again;
where it is not, nothing runs. A push that was interrupted has moved nothing: the same command sends the rest.

  push RECIPE     the files that a recipe reads, from its data folder
  push FOLDER     the files of FOLDER that the recipe last submitted as NAME reads (all, where none was)
  list            every dataset with its digest and when it was pushed
  show NAME       one dataset with its files, and whether the pipeline trains on it

  --name NAME     name of the dataset, which is the data of the recipe of that name (default: the recipe's own)
  --outputs FILE  what \`npm run deploy\` wrote (default the only cdk-outputs*.json in the repository)
  --json          one JSON object a line on standard output instead of text
  --help          this text
  --version       the version of this program

What counts is the later of two: the last push, or the last \`npm run train -- RECIPE --on aws\`, which sends its own data.
Environment: ${ENVARS.data} is the data folder instead of a relative \`data\` of the recipe. AWS credentials and region are found as by
the AWS command line.
Exit codes: 0 done, 1 failed, 2 refused.
`;

const OPTIONS = {
  name: { type: 'string' },
  outputs: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

const COMMANDS = ['push', 'list', 'show'] as const;

/** The whole command; resolves to its exit code. */
export async function data(argv: readonly string[], context: CommandContext): Promise<number> {
  const { root, cwd } = context;
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values, words } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 2 });
    const [word, subject] = words;
    const command = COMMANDS.find((name) => name === word);
    if (command === undefined) throw new UserError(`${word ?? 'no command'}: there are push, list and show\n\n${HELP}`);
    if (command === 'list' && subject !== undefined) throw new UserError(`list takes no argument, not ${subject}`);
    if (command !== 'push' && values.name !== undefined)
      throw new UserError(`--name goes with push, not with ${command}`);
    const { trainingBucket } = readDeployment(outputsFile(values.outputs, { root, cwd }));
    const store = openStore(`s3://${trainingBucket}`);
    const emit = consoleOf(context, values);
    if (command === 'list') emit({ event: 'datasets', datasets: await listDatasets(store) });
    else if (command === 'show') {
      const { pointer, ...shown } = await showDataset(
        nameOf(subject, 'show which dataset? list shows those there are'),
        store,
      );
      emit({ event: 'dataset', dataset: pointer, ...shown });
    } else await push(subject, values.name, { context, store, emit });
    return EXIT.ok;
  });
}

interface PushContext {
  context: CommandContext;
  store: ObjectStore;
  emit: Emit;
}

async function push(subject: string | undefined, name: string | undefined, { context, store, emit }: PushContext) {
  const found = await find(subject, name, { context, store, emit });
  const onProgress: PushOptions['onProgress'] = (progress) => emit({ event: 'uploading', ...progress });
  const { pointer, ...done } = await pushDataset({ ...found, store, onProgress });
  emit({ event: 'pushed', dataset: pointer, ...done });
}

/** What is pushed: by a recipe of this machine, or a folder by the recipe that was submitted. */
async function find(
  subject: string | undefined,
  given: string | undefined,
  { context, store, emit }: PushContext,
): Promise<Pick<PushOptions, 'name' | 'data' | 'folder'>> {
  const { root, cwd, env } = context;
  if (subject === undefined) throw new UserError('push what? a folder, or a recipe such as recipes/embedded.json');
  const runs = join(root, 'runs');
  const onRead = (bytes: number): void => emit({ event: 'reading_data', bytes });
  const folder = resolve(cwd, subject);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    if (!subject.endsWith('.json')) throw new UserError(`there is no folder ${folder}, and a recipe ends with .json`);
    const resolved = resolveRecipe(subject, { folders: [cwd, join(root, 'trainer')], cwd, env });
    const name = nameOf(given ?? resolved.recipe.name, '');
    return { name, data: await indexOf(resolved, runs, onRead), folder: resolved.data };
  }
  const name = nameOf(given, '--name says which recipe a folder is the data of');
  const submitted = await findSubmitted(name, store);
  if (submitted !== undefined)
    return { name, folder, data: await indexOf({ recipe: submitted.recipe, data: folder }, runs, onRead) };
  const { digest, files } = await indexFolder(folder, runs, onRead);
  return { name, folder, data: { digest, files, parts: null, tars: { count: 0, bytes: 0 } } };
}

function nameOf(given: string | undefined, missing: string): string {
  if (given === undefined) throw new UserError(missing);
  if (RecipeName.safeParse(given).success) return given;
  throw new UserError(
    `${given} is not the name of a dataset: lower-case letters, digits, ".", "_" and "-", 64 at most`,
  );
}

if (import.meta.main) await runStoppable(data, processContext(process.env), { tells: 'document' });
