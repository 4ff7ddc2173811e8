// The command `npm run bench:train`: how fast training is on this machine, against other people's code in the same run.
import { answerCommand, readCommandLine } from '../../../../contracts/command/command-line.ts';
import { numberOf } from '../../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { type CommandContext, processContext } from '../context.ts';
import { runStoppable } from '../interrupts.ts';
import { runPython } from '../python.ts';

const HELP = `Usage: npm run bench:train -- [options]

Measures, with drawn pictures and random weights: crops a second and core by decoder and the whole loader (loader), tokens a
second of embed_captions and contrastive packed and padded (texts), the training loop of clip against open_clip's own
train_one_epoch on the same towers and the share of the machine's FLOP/s that it uses (step), what an H100 would do by
counted FLOPs (closed form), and time and memory of contrastive losses at 8k, 32k and 64k rows (loss). What is compared
takes turns in one run; figures are medians. On a GPU where there is one, else on the processor.

  --json        one JSON document on standard output instead of a table
  --quick       tiny sizes: shows that everything runs, not how fast
  --only WORD   what has this word in its name
  --minutes N   what would end later is left out (default 5)
  --help        this text
  --version     the version of this program

Environment: ${ENVARS.python} is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 measured, 1 failed, 2 refused, ${EXIT.interrupted} interrupted.
`;

const OPTIONS = {
  json: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  only: { type: 'string' },
  minutes: { type: 'string' },
} as const;

/** The whole command; resolves to its exit code. */
export async function benchTrain(argv: readonly string[], context: CommandContext): Promise<number> {
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 0 });
    const { json, quick, only } = values;
    const minutes = numberOf('--minutes', values.minutes, { from: 0 });
    const flags = Object.entries({ json, quick }).flatMap(([name, isSet]) => (isSet ? [`--${name}`] : []));
    const options = Object.entries({ only, minutes }).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}=${value}`],
    );
    return await runPython(['-m', 'bench.train', ...flags, ...options], context);
  });
}

if (import.meta.main) await runStoppable(benchTrain, processContext(process.env), { tells: 'document' });
