// Reads and checks the command line of `npm run train`: which command, which recipe, where.

import { readCommandLine } from '../../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

export const TRAIN_HELP = `Usage: npm run train -- [status|logs|cancel] recipes/NAME.json [STAGE] [options]

Runs the stages of a recipe, in order, on this machine or on AWS Batch. A finished stage is used again as long as its
settings, its code, its data and its inputs stay the same. After Ctrl-C or a failure the same command goes on where it
stopped.

  --show         print the recipe as it is used, with all that it extends, and run nothing
  --plan         show the stages, what is finished, how long the rest takes by earlier runs or else by arithmetic and, on AWS,
                 what it costs and what each stage takes of its machines
  --to STAGE     run STAGE and everything it needs (a name that --plan shows)
  --only STAGE   run STAGE alone; what it needs has to be finished
  --runs DIR     keep runs in DIR instead of runs/ in the repository (not with --on aws)
  --ablate NAMES run these variants of the recipe (NAME,NAME or all) and the recipe itself with the same seeds, as its block
                 compare says, reuse what they share, and print one table of their figures with paired intervals
  --seeds SEEDS  with --ablate: other seeds than those of compare (1,2,3)
  --at STAGE     with --ablate: go on to another stage than that of compare and take the figures of its report
  --metrics M    with --ablate: other figures of that report (NAME,NAME)
  --parallel N   run up to N stages at once where none needs the other (1): seeds and variants of --ablate, or teacher and images.
                 Each gets an equal share of the cores, or GPUs of its own. Memory has to hold all of them; --plan says how long
                 they take so, as if a half of the cores took twice the time
  --ranks N      train in N processes on this machine, one per GPU where it has GPUs (1); the batch stays that of the recipe
  --install      afterwards put the exported model into api/model, where the server reads it (not with --on aws)
  --on aws       upload the data and weights and submit what is missing to AWS Batch, then return: the jobs go on without this machine
  --outputs FILE names of queues and buckets, as \`npm run deploy\` wrote them (default the only cdk-outputs*.json in the repository)
  --json         one JSON object a line on standard output instead of text
  --help         this text
  --version      the version of this program

With --on aws, of the recipe as it was last submitted:
  status         every stage: finished, queued, running with its progress, failed with the reason, cancelled
  logs STAGE     the log of a stage; --follow goes on until it ends
  cancel [STAGE] end every queued and running job, or one; a stage that had started keeps its checkpoints

The recipe's path is looked up in the current folder, then in trainer/.
Environment: ${ENVARS.data} is the data folder instead of a relative \`data\` of the recipe. ${ENVARS.python} is a Python interpreter with
the trainer's dependencies, used instead of trainer/.venv, which is otherwise made when the first stage needs it.
${ENVARS.cpuDtype} (float32, bfloat16) is what stages multiply in on a processor, instead of what is fast there. AWS
credentials and region are found as by the AWS command line (AWS_PROFILE, AWS_REGION and so on).
Exit codes: 0 done, 1 a stage failed, 2 refused before anything ran, ${EXIT.interrupted} interrupted: run the same command again.
`;

export type TrainCommand = 'run' | 'status' | 'logs' | 'cancel';

export interface TrainOptions {
  command: TrainCommand;
  recipe: string;
  /** `logs` and `cancel`: which stage. */
  stage?: string | undefined;
  show: boolean;
  plan: boolean;
  to?: string | undefined;
  only?: string | undefined;
  runs?: string | undefined;
  /** Names of variants, or \`all\`. */
  ablate?: string[] | undefined;
  seeds?: number[] | undefined;
  at?: string | undefined;
  metrics?: string[] | undefined;
  /** Processes that train together. */
  ranks: number;
  /** Stages that run side by side. */
  parallel: number;
  install: boolean;
  on: 'here' | 'aws';
  outputs?: string | undefined;
  follow: boolean;
}

const OPTIONS = {
  show: { type: 'boolean', default: false },
  plan: { type: 'boolean', default: false },
  to: { type: 'string' },
  only: { type: 'string' },
  runs: { type: 'string' },
  ablate: { type: 'string' },
  seeds: { type: 'string' },
  at: { type: 'string' },
  metrics: { type: 'string' },
  ranks: { type: 'string', default: '1' },
  parallel: { type: 'string', default: '1' },
  install: { type: 'boolean', default: false },
  on: { type: 'string' },
  outputs: { type: 'string' },
  follow: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

/** The commands for jobs on AWS; without one of them a recipe is run. */
const AWS_COMMANDS: readonly string[] = ['status', 'logs', 'cancel'] satisfies TrainCommand[];

export function parseTrainOptions(argv: readonly string[]): TrainOptions {
  const { values, words } = readCommandLine(argv, { help: TRAIN_HELP, options: OPTIONS, words: 3 });
  const [first = ''] = words;
  const command = isAwsCommand(first) ? first : 'run';
  const [recipe, ...more] = command === 'run' ? words : words.slice(1);
  if (recipe === undefined) throw new UserError(`Which recipe?\n\n${TRAIN_HELP}`);
  const stage = command === 'logs' || command === 'cancel' ? more.shift() : undefined;
  if (more.length > 0) throw new UserError(`one recipe at a time, not also ${more.join(' ')}`);
  const { on = 'here', json: _, ablate, seeds, metrics, ranks, parallel, ...rest } = values;
  if (on !== 'here' && on !== 'aws')
    throw new UserError(`--on ${on}: there is only aws; without --on the recipe runs on this machine`);
  const ablation = {
    ablate: listOf('--ablate', ablate),
    seeds: seedsOf(seeds),
    metrics: listOf('--metrics', metrics),
  };
  const options: TrainOptions = {
    ...rest,
    ...ablation,
    ranks: wholeNumberOf('--ranks', ranks, { from: 1, to: 64 }),
    parallel: wholeNumberOf('--parallel', parallel, { from: 1, to: 64 }),
    command,
    recipe,
    stage,
    on,
  };
  const conflict = conflictOf(options);
  if (conflict !== undefined) throw new UserError(conflict);
  return options;
}

/** Why options do not go together, as a sentence; undefined where they do. */
function conflictOf(options: TrainOptions) {
  const { command, stage, show, plan, to, only, runs, ablate, seeds, at, metrics, install, on, outputs, follow } =
    options;
  const selects = to !== undefined || only !== undefined;
  const rules: [boolean, string][] = [
    [to !== undefined && only !== undefined, '--to and --only exclude each other'],
    [
      show && (command !== 'run' || plan || install || selects || on === 'aws'),
      '--show prints the recipe and nothing else goes with it',
    ],
    [
      ablate !== undefined && (command !== 'run' || selects || show || install),
      '--ablate runs up to its comparison: neither --to nor --only nor --show nor --install goes with it',
    ],
    [
      ablate !== undefined && on === 'aws',
      '--ablate runs on this machine; on AWS a recipe is compared with the variants that its block compare names',
    ],
    [
      ablate === undefined && [seeds, at, metrics].some((value) => value !== undefined),
      '--seeds, --at and --metrics go with --ablate',
    ],
    [
      on === 'aws' && options.parallel > 1,
      '--parallel is for this machine; AWS Batch runs jobs side by side as its queues have room',
    ],
    [
      on === 'aws' && options.ranks > 1,
      '--ranks is for this machine; on AWS the class of the job says how many GPUs train together',
    ],
    [plan && install, '--plan runs nothing, so there is nothing to --install'],
    [
      command !== 'run' && on === 'here',
      `${command} is for jobs on AWS: add --on aws. Here, --plan shows what is finished`,
    ],
    [
      command !== 'run' && (plan || install || selects),
      `${command} takes neither --plan nor --to nor --only nor --install`,
    ],
    [
      on === 'aws' && (install || runs !== undefined),
      '--on aws keeps its runs in its bucket: neither --runs nor --install goes with it',
    ],
    [on === 'here' && outputs !== undefined, '--outputs goes with --on aws'],
    [follow && command !== 'logs', '--follow goes with logs'],
    [command === 'logs' && stage === undefined, 'logs of which stage? --plan shows their names'],
  ];
  return rules.find(([holds]) => holds)?.[1];
}

function listOf(option: string, text: string | undefined): string[] | undefined {
  const names = text === undefined ? undefined : partsOf(text);
  if (names?.length === 0)
    throw new UserError(`${option} ${text}: one name at least, several with commas between them`);
  return names;
}

function seedsOf(text: string | undefined): number[] | undefined {
  if (text === undefined) return undefined;
  const seeds = partsOf(text).map(Number);
  if (seeds.length === 0 || seeds.some((seed) => !Number.isSafeInteger(seed) || seed < 0))
    throw new UserError(`--seeds ${text}: whole numbers from 0, with commas between them, such as 1,2,3`);
  return seeds;
}

function partsOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function isAwsCommand(word: string): word is Exclude<TrainCommand, 'run'> {
  return AWS_COMMANDS.includes(word);
}
