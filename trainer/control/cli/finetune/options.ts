// Reads and checks the command line of `npm run finetune`: which data, from which model, what may move.
import { readCommandLine } from '../../../../contracts/command/command-line.ts';
import { numberOf, wholeNumberOf } from '../../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { ModelName } from '../../../../contracts/src/names.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { COLUMN_OPTIONS, columnHelp, columnsOf, type TableColumns } from '../datasets/columns.ts';

export const FINETUNE_HELP = `Usage: npm run finetune -- FOLDER|FILE [options]

Teaches an exported model your own images, from captions, titles or only the names of their classes. FOLDER: images with a
.txt of the same name beside them, images in a folder per class, or images with one table. FILE: CSV (commas, semicolons or
tabs), JSON lines, Parquet, COCO or Karpathy JSON, or a tar of images. Nothing else is needed. Says first how the data were
read and what was left out, in the end what got better on images that were not learned from, and what to type next.

  --from MODEL           the model to start from: the folder of an exported one, or the name of a published one (default api/model)
  --registry DIR|URI     where published models are (default registry/ in the repository, or $${ENVARS.registry})
  --space keep|new       keep (default): the text side alone adapts, vectors of images stay valid. new: the image tower adapts,
                         too, which names things far better; images have to be embedded again
  --name NAME            of the model and of its runs (default: the name of the data)
  --model-version TEXT   of the model, in its manifest and in the list of what was published (default 1)
  --classes FILE         names and descriptions of the classes: JSON or CSV with id, name and description, or a name a line
  --dev PATH             measure on these images, in the same format, instead of a part of the own ones
  --dev-share FRACTION   part of the images, of every class, that is measured on (default 0.15)
${columnHelp(25)}
  --augment FILE         JSON lines of {key or label, captions}: further captions of images, or texts of classes, to learn
                         from; npm run augment writes them
  --steps N              steps of training (default 300)
  --minutes N            fewer steps where they would take longer
  --seed N               of the split and of every draw (default 1)
  --control              train a second time with a text side from random weights and CLIP's loss, for comparison
  --no-general           leave the general dev sets alone (as without their data): what was lost on them is not measured, and
                         verdicts on searches are not fitted on them where own images are too few
  --out FOLDER           copy the finished model there, too
  --runs DIR             keep runs in DIR instead of runs/ in the repository
  --dry-run              say how the data are read, what is left out and what would be trained, and stop
  --json                 one JSON object a line on standard output instead of text
  --help                 this text
  --version              the version of this program

Ctrl-C keeps what was done: the same command goes on where it stopped.
Environment: ${ENVARS.data} is the folder of the general dev sets (default ../shared/data beside the repository).
${ENVARS.python} is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 done, 1 training failed, 2 refused before anything was trained, ${EXIT.interrupted} interrupted: run the same command again.
`;

const OPTIONS = {
  from: { type: 'string' },
  registry: { type: 'string' },
  space: { type: 'string', default: 'keep' },
  name: { type: 'string' },
  'model-version': { type: 'string' },
  classes: { type: 'string' },
  dev: { type: 'string' },
  'dev-share': { type: 'string' },
  ...COLUMN_OPTIONS,
  augment: { type: 'string' },
  steps: { type: 'string' },
  minutes: { type: 'string' },
  seed: { type: 'string' },
  control: { type: 'boolean', default: false },
  'no-general': { type: 'boolean', default: false },
  out: { type: 'string' },
  runs: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

export interface FinetuneOptions {
  data: string;
  from: string | undefined;
  registry: string | undefined;
  space: 'keep' | 'new';
  name: string;
  version: string | undefined;
  classes: string | undefined;
  dev: string | undefined;
  devShare: number | undefined;
  columns: TableColumns;
  augment: string | undefined;
  steps: number | undefined;
  minutes: number | undefined;
  seed: number | undefined;
  control: boolean;
  general: boolean;
  out: string | undefined;
  runs: string | undefined;
  dryRun: boolean;
  json: boolean;
}

export function parseFinetuneOptions(argv: readonly string[]): FinetuneOptions {
  const { values, words } = readCommandLine(argv, { help: FINETUNE_HELP, options: OPTIONS, words: 1 });
  const [data] = words;
  if (data === undefined) throw new UserError(`Which images? Name a folder or a file.\n\n${FINETUNE_HELP}`);
  const { space } = values;
  if (space !== 'keep' && space !== 'new') throw new UserError(`--space ${space}: there are keep and new`);
  const name = values.name ?? nameOf(data);
  if (!ModelName.safeParse(name).success)
    throw new UserError(
      `--name ${name}: a name starts with a small letter or digit and goes on with those, dots, hyphens and underscores, at most 64`,
    );
  return {
    data,
    from: values.from,
    registry: values.registry,
    space,
    name,
    version: values['model-version'],
    classes: values.classes,
    dev: values.dev,
    devShare: numberOf('--dev-share', values['dev-share'], { from: 0, to: 0.9 }),
    columns: columnsOf(values),
    augment: values.augment,
    steps: wholeNumberOf('--steps', values.steps, { from: 1 }),
    minutes: numberOf('--minutes', values.minutes, { from: 0.1 }),
    seed: wholeNumberOf('--seed', values.seed, { from: 0 }),
    control: values.control,
    general: !values['no-general'],
    out: values.out,
    runs: values.runs,
    dryRun: values['dry-run'],
    json: values.json,
  };
}

/** `shop/My Photos.csv` is called `my-photos`. */
function nameOf(data: string): string {
  const base = data.replace(/[/\\]+$/, '').replace(/^.*[/\\]/, '');
  const stem = base.replace(/\.(jsonl\.gz|tar\.gz|[a-z0-9]{1,7})$/i, '');
  const name = stem
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|-+$/g, '')
    .slice(0, 64);
  return name === '' ? 'own' : name;
}
