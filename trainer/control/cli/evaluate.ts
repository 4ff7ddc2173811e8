// The command `npm run evaluate`: measures a model on the dev sets or on published benchmarks, which trainer/evaluation lists.
import { existsSync, mkdtempSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { answerCommand, readCommandLine } from '../../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import {
  type CommandContext,
  dataFolder,
  embeddedModel,
  openRegistryOf,
  processContext,
  vectorsFolder,
} from './context.ts';
import { modelFolder, verifyFolder } from './exchange/model-folder.ts';
import { withScratch } from './exchange/scratch.ts';
import { runStoppable } from './interrupts.ts';
import { runPython } from './python.ts';

/** Begins a name of open_clip. */
const OPEN_CLIP = 'open_clip:';

const HELP = `Usage: npm run evaluate -- [MODEL …] [options]

Measures models on the dev sets, or on benchmarks of yours. A MODEL is the folder that \`export\` wrote (default api/model),
as servers run it; a run folder of \`clip\`, in PyTorch: its text teachers, or the control; a folder in the layout of
open_clip or transformers; ${OPEN_CLIP}MODEL@PRETRAINED with a tag of open_clip or a file; or the name of a published model.
One line for each figure, one column for each text tier of each model, in per cent; ties count against the model. Vectors of
images and texts are kept, so that a second run takes seconds and an interrupted one goes on where it stopped.

  --only SET,…   these dev sets only; --list shows what there is
  --suite NAME=DIR
                 instead of the dev sets a published benchmark in a folder of yours (flickr30k, coco, docci, …; --list shows
                 names and layouts); may be given several times
  --tier TIER,…  these tiers only: base, tiny, static, teacher, control, text, as far as they are there
  --registry URI where a model's name is looked up (default $${ENVARS.registry}, else registry/ in the repository)
  --data DIR     the data folder (default $${ENVARS.data}, else ../shared/data beside the repository); sets that are not in it are left out
  --processes N  of this machine, which share the work on suites (default 1; one uses one GPU)
  --html FILE    of suites also a page with plots and with examples that were won and lost
  --sample N     of suites of pictures and captions: ranks N pictures and N texts, each among all of the others; the same ones every
                 time. A million pairs are 10^12 comparisons, hours of a core: 10,000 of each are a fiftieth of it
  --features T   how vectors of suites are kept: float16 (default) or float32, twice the disk
  --cache DIR    where vectors are kept (default runs/evaluation-vectors in the repository)
  --list         the dev sets: what they measure, and why they may be looked at during development; the suites and their layouts
  --json         one JSON document on standard output instead of text
  --help         this text
  --version      the version of this program

Environment: OMP_NUM_THREADS bounds the threads of the image graph. ${ENVARS.python} is a Python interpreter with the
trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 done, 1 nothing could be measured, 2 refused, ${EXIT.interrupted} interrupted: run the same command again.
`;

const OPTIONS = {
  only: { type: 'string', default: '' },
  suite: { type: 'string', multiple: true },
  processes: { type: 'string', default: '1' },
  html: { type: 'string' },
  sample: { type: 'string' },
  features: { type: 'string', default: 'float16' },
  tier: { type: 'string', default: '' },
  registry: { type: 'string' },
  data: { type: 'string' },
  cache: { type: 'string' },
  list: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

const MOST_MODELS = 12;

/** The whole command; resolves to its exit code. */
export async function evaluate(argv: readonly string[], context: CommandContext): Promise<number> {
  const { cwd, env } = context;
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values, words } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: MOST_MODELS });
    const { only, tier, features, list, json } = values;
    const data = dataFolder(values, context);
    const cache = vectorsFolder(values, context);
    const named = { data, cache, only, tier, features, threads: env.OMP_NUM_THREADS || '0' };
    const flags = Object.entries({ list, json }).flatMap(([name, isSet]) => (isSet ? [`--${name}`] : []));
    const options = Object.entries(named).flatMap(([name, value]) => (value === '' ? [] : [`--${name}=${value}`]));
    // Python runs in another folder: paths are whole.
    const suites = (values.suite ?? []).map(
      (word) => `--suite=${word.replace(/(?<==).+/, (path) => resolve(cwd, path))}`,
    );
    const page = values.html === undefined ? [] : [`--html=${pageFor(suites, values.html, cwd)}`];
    const sample = wholeNumberOf('--sample', values.sample, { from: 1 });
    if (sample !== undefined && suites.length === 0)
      throw new UserError('--sample is of suites of pictures and captions: there is no --suite');
    const sampled = sample === undefined ? [] : [`--sample=${sample}`];
    const processes = wholeNumberOf('--processes', values.processes, { from: 1, to: 99 });
    if (processes > 1 && suites.length === 0)
      throw new UserError('--processes shares the work on suites: there is no --suite');
    const launch = processes === 1 ? [] : ['engine.launch', `--processes=${processes}`, '--'];
    // What is fetched from a registry is there while it is measured.
    return await withScratch('evaluate-', async (scratch) => {
      const models: string[] = [];
      for (const word of words.length === 0 ? [embeddedModel(context)] : words)
        models.push(await modelOf(word, { registry: values.registry, context, scratch }));
      return await runPython(
        ['-m', ...launch, 'evaluation', ...models, ...options, ...suites, ...page, ...sampled, ...flags],
        context,
      );
    });
  });
}

/** The whole path of the page; what would fail when everything is measured is refused now. */
function pageFor(suites: readonly string[], html: string, cwd: string): string {
  if (suites.length === 0) throw new UserError('--html is a page of suites: there is no --suite');
  const file = resolve(cwd, html);
  if (!existsSync(dirname(file))) throw new UserError(`--html ${html}: there is no folder ${dirname(file)}`);
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory())
    throw new UserError(`--html ${html}: that is a folder, name a file in it`);
  return file;
}

interface Naming {
  registry: string | undefined;
  context: CommandContext;
  /** A folder for what has to be fetched. */
  scratch: string;
}

/**
 * What Python opens, which runs in another folder: whole paths, also that of a file behind open_clip's name of its model.
 * A word without a slash that is not a folder is the name of a published model, whose files are fetched.
 */
async function modelOf(word: string, { registry, context, scratch }: Naming): Promise<string> {
  const { cwd } = context;
  if (word.startsWith(OPEN_CLIP)) {
    const [name, file] = word.split('@', 2);
    return file !== undefined && existsSync(resolve(cwd, file)) ? `${name}@${resolve(cwd, file)}` : word;
  }
  const place = resolve(cwd, word);
  if (existsSync(join(place, FILES.manifest))) await verifyFolder(place);
  if (word.includes('/') || existsSync(place)) return place;
  // A name may be given twice.
  const folder = mkdtempSync(join(scratch, 'model-'));
  return await modelFolder(word, { registry: openRegistryOf({ registry }, context), context, scratch: folder });
}

if (import.meta.main) await runStoppable(evaluate, processContext(process.env), { tells: 'document' });
