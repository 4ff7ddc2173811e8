// The command `npm run bench:million`: synthetic pairs through the stages that train on them, killed and resumed, in flat memory.
import { resolve } from 'node:path';
import { answerCommand, readCommandLine } from '../../../../contracts/command/command-line.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { type CommandContext, processContext } from '../context.ts';
import { runStoppable } from '../interrupts.ts';
import { runPython } from '../python.ts';

const HELP = `Usage: npm run bench:million -- [options]

Writes tiny pictures with real captions as WebDataset tars, and takes them through prepare, embed_captions, inherit,
embed_images and clip (200 steps, tiny random weights, 2 gloo ranks on this machine), at 100,000 and at 1,000,000 pairs.
Stages are killed and stopped on the way, one rank of clip too, and go on on 1, 2 and 4 ranks. Says the peak of the resident
memory of all processes in every phase, how much more the larger set takes (at most 200 MB), and how far the losses of
resumed runs are from those of one that was not interrupted. Then as many pairs in a folder are evaluated as \`npm run evaluate
-- --suite captions=FOLDER --sample 1000 --html FILE\` does it, with drawn vectors, on 1 and 2 ranks: every rank has to be
equal, and the figures of a small folder those of the whole matrix. All of a million against all are 10^12 comparisons and
are not run. May be interrupted: run it again to go on.

  --sizes LIST     numbers of pairs (default 100000,1000000)
  --only LIST      stages that are run (default: all); each needs what those before it wrote, but for evaluate,
                   which needs nothing
  --work FOLDER    where everything is written, 12 KB a pair (default: bench-million in the folder for temporary files);
                   report.md and the curves SIZE/memory.csv stay there
  --captions FILE  caption groups, .jsonl.gz (default: those of the data folder)
  --help           this text
  --version        the version of this program

Environment: ${ENVARS.python} is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv;
${ENVARS.data} is the data folder.
Exit codes: 0 as it should be, 1 not, 2 refused, ${EXIT.interrupted} interrupted.
`;

const OPTIONS = {
  sizes: { type: 'string' },
  only: { type: 'string' },
  work: { type: 'string' },
  captions: { type: 'string' },
} as const;

/** The whole command; resolves to its exit code. */
export async function benchMillion(argv: readonly string[], context: CommandContext): Promise<number> {
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 0 });
    const path = (value: string | undefined): string | undefined =>
      value === undefined ? undefined : resolve(context.cwd, value);
    const given = { sizes: values.sizes, only: values.only, work: path(values.work), captions: path(values.captions) };
    const options = Object.entries(given).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}=${value}`],
    );
    return await runPython(['-m', 'bench.million', ...options], context);
  });
}

if (import.meta.main) await runStoppable(benchMillion, processContext(process.env), { tells: 'document' });
