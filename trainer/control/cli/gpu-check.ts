// The command `npm run gpu-check`: every training stage on a GPU, stopped and resumed, and how fast training is there.
import { resolve } from 'node:path';
import { answerCommand, readCommandLine } from '../../../contracts/command/command-line.ts';
import { numberOf } from '../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { type CommandContext, processContext } from './context.ts';
import { runStoppable } from './interrupts.ts';
import { runPython } from './python.ts';

const HELP = `Usage: npm run gpu-check -- [options]

Runs every stage of a small recipe (drawn pictures, random weights, nothing is downloaded) on the GPU of this machine, the
ones that train once straight and once stopped by SIGTERM and resumed, and compares what they wrote. Then measures: steps
of a ViT-L/14 with and without compilation and recomputed activations, texts through a language model packed and padded,
contrastive losses of large batches. Prints a report for trainer/LOG.md. At most eight minutes on a GPU of the last years.

  --quick          tiny sizes: shows that everything runs, not how fast
  --device DEVICE  cpu tries everything on a machine without a GPU, in tiny sizes (default cuda)
  --only HALF      stages or speed
  --minutes N      measurements beyond are left out (default 8)
  --markdown FILE  write the report there, too
  --json           one JSON document on standard output instead of the report
  --help           this text
  --version        the version of this program

Without Node: PYTHONPATH=trainer:contracts/python python3 -m gpu_check, from the repository's root.
Environment: ${ENVARS.python} is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 every stage did what it should, 1 one did not, 2 refused, ${EXIT.interrupted} interrupted.
`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  device: { type: 'string' },
  only: { type: 'string' },
  minutes: { type: 'string' },
  markdown: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

/** The whole command; resolves to its exit code. */
export async function gpuCheck(argv: readonly string[], context: CommandContext): Promise<number> {
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 0 });
    const { quick, json, device, only } = values;
    const minutes = numberOf('--minutes', values.minutes, { from: 0 });
    const markdown = values.markdown === undefined ? undefined : resolve(context.cwd, values.markdown);
    const flags = Object.entries({ quick, json }).flatMap(([name, isSet]) => (isSet ? [`--${name}`] : []));
    const options = Object.entries({ device, only, minutes, markdown }).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}=${value}`],
    );
    return await runPython(['-m', 'gpu_check', ...flags, ...options], context);
  });
}

if (import.meta.main) await runStoppable(gpuCheck, processContext(process.env), { tells: 'document' });
