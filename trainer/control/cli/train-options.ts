// The command line of `npm run train`, checked: which command, which recipe, where.

import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { readArguments } from './command-line.ts';

export const TRAIN_HELP = `Usage: npm run train -- [status|logs|cancel] recipes/NAME.json [STAGE] [options]

Runs the stages of a recipe, in order, on this machine or on AWS Batch. A finished stage is used again as long as its
settings, its code, its data and its inputs stay the same. After Ctrl-C or a failure the same command goes on where it
stopped.

  --plan         show the stages, what is finished, how long the rest takes by earlier runs and, on AWS, what it costs
  --to STAGE     run STAGE and everything it needs (a name that --plan shows)
  --only STAGE   run STAGE alone; what it needs has to be finished
  --runs DIR     keep runs in DIR instead of runs/ in the repository (not with --on aws)
  --install      afterwards put the exported model into api/model, where the server reads it (not with --on aws)
  --on aws       upload the data and submit what is missing to AWS Batch, then return: the jobs go on without this machine
  --outputs FILE what \`cdk deploy --outputs-file\` wrote: names of queues and buckets (default cdk-outputs.json)
  --json         one JSON object a line on standard output instead of text
  --help         this text

With --on aws, of the recipe as it was last submitted:
  status         every stage: finished, queued, running with its progress, failed with the reason, cancelled
  logs STAGE     the log of a stage; --follow goes on until it ends
  cancel [STAGE] end every queued and running job, or one; a stage that had started keeps its checkpoints

The recipe's path is looked up in the current folder, then in trainer/.
Environment: ${ENVARS.data} is the data folder instead of the recipe's \`data\`. ${ENVARS.python} is a Python interpreter with
the trainer's dependencies, used instead of trainer/.venv, which is otherwise made when the first stage needs it. AWS
credentials and region are found as by the AWS command line (AWS_PROFILE, AWS_REGION and so on).
Exit codes: 0 done, 1 a stage failed, 2 refused before anything ran, ${EXIT.interrupted} interrupted: run the same command again.
`;

export type TrainCommand = 'run' | 'status' | 'logs' | 'cancel';

export interface TrainOptions {
  command: TrainCommand;
  recipe: string;
  /** `logs` and `cancel`: which stage. */
  stage?: string | undefined;
  plan: boolean;
  to?: string | undefined;
  only?: string | undefined;
  runs?: string | undefined;
  install: boolean;
  on: 'here' | 'aws';
  outputs?: string | undefined;
  follow: boolean;
}

const OPTIONS = {
  plan: { type: 'boolean', default: false },
  to: { type: 'string' },
  only: { type: 'string' },
  runs: { type: 'string' },
  install: { type: 'boolean', default: false },
  on: { type: 'string' },
  outputs: { type: 'string' },
  follow: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

const COMMANDS: readonly string[] = ['status', 'logs', 'cancel'] satisfies TrainCommand[];

export function parseTrainOptions(argv: readonly string[]): TrainOptions {
  const { values, positionals } = readArguments(argv, OPTIONS, TRAIN_HELP);
  const [first = '', ...others] = positionals;
  const command = isCommand(first) ? first : 'run';
  const [recipe, stage, ...more] = command === 'run' ? positionals : others;
  if (recipe === undefined) throw new UserError(`Which recipe?\n\n${TRAIN_HELP}`);
  const takesStage = command === 'logs' || command === 'cancel';
  const extra = takesStage ? more : [stage, ...more].filter((word) => word !== undefined);
  if (extra.length > 0) throw new UserError(`one recipe at a time, not also ${extra.join(' ')}`);
  const { on = 'here', plan, install, to, only, runs, outputs, follow } = values;
  const refuse = (holds: boolean, sentence: string): void => {
    if (holds) throw new UserError(sentence);
  };
  refuse(on !== 'here' && on !== 'aws', `--on ${on}: there is only aws; without --on the recipe runs on this machine`);
  refuse(to !== undefined && only !== undefined, '--to and --only exclude each other');
  refuse(plan && install, '--plan runs nothing, so there is nothing to --install');
  refuse(
    command !== 'run' && on === 'here',
    `${command} is for jobs on AWS: add --on aws. Here, --plan shows what is finished`,
  );
  refuse(
    command !== 'run' && (plan || install || to !== undefined || only !== undefined),
    `${command} takes neither --plan nor --to nor --only nor --install`,
  );
  refuse(
    on === 'aws' && (install || runs !== undefined),
    '--on aws keeps its runs in its bucket: neither --runs nor --install goes with it',
  );
  refuse(on === 'here' && outputs !== undefined, '--outputs goes with --on aws');
  refuse(follow && command !== 'logs', '--follow goes with logs');
  refuse(command === 'logs' && stage === undefined, 'logs of which stage? --plan shows their names');
  return {
    command,
    recipe,
    stage: takesStage ? stage : undefined,
    plan,
    to,
    only,
    runs,
    install,
    on: on === 'aws' ? on : 'here',
    outputs,
    follow,
  };
}

function isCommand(word: string): word is Exclude<TrainCommand, 'run'> {
  return COMMANDS.includes(word);
}
