// The command `npm run evaluate`: measures an exported model on the dev sets, which trainer/evaluation lists.
import { join, resolve } from 'node:path';
import { answerCommand, readCommandLine } from '../../../contracts/command/command-line.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { type CommandContext, processContext } from './context.ts';
import { runPython } from './python.ts';

const HELP = `Usage: npm run evaluate -- [FOLDER …] [options]

Measures a model on the dev sets, as servers run it: the folder that \`export\` wrote, or api/model. A run folder of
\`clip\` is measured in PyTorch: its text teachers, or the control. One line for each figure, one column for each text
tier of each folder, in per cent; ties count against the model. Vectors of images and texts are kept, so that a second
run takes seconds and an interrupted one goes on where it stopped.

  --only SET,…   these dev sets only; --list shows what there is
  --tier TIER,…  these tiers only: base, tiny, static, teacher, control, as far as they are there
  --data DIR     the data folder (default $${ENVARS.data}, else ../shared/data beside the repository); sets that are not in it are left out
  --cache DIR    where vectors are kept (default runs/evaluation-vectors in the repository)
  --list         the dev sets: what they measure, their files, and why they may be looked at during development
  --json         one JSON document on standard output instead of text
  --help         this text
  --version      the version of this program

Environment: OMP_NUM_THREADS bounds the threads of the image graph. ${ENVARS.python} is a Python interpreter with the
trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 done, 1 nothing could be measured, 2 refused, ${EXIT.interrupted} interrupted: run the same command again.
`;

const OPTIONS = {
  only: { type: 'string', default: '' },
  tier: { type: 'string', default: '' },
  data: { type: 'string' },
  cache: { type: 'string' },
  list: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

const MOST_FOLDERS = 12;

/** The whole command; resolves to its exit code. */
export async function evaluate(argv: readonly string[], context: CommandContext): Promise<number> {
  const { root, cwd, env } = context;
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values, words } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: MOST_FOLDERS });
    const { only, tier, list, json } = values;
    const folders = words.length === 0 ? [join(root, 'api', 'model')] : words.map((word) => resolve(cwd, word));
    const data = resolve(cwd, values.data ?? (env[ENVARS.data] || join(root, '..', 'shared', 'data')));
    const cache = resolve(cwd, values.cache ?? join(root, 'runs', 'evaluation-vectors'));
    const named = { data, cache, only, tier, threads: env.OMP_NUM_THREADS || '0' };
    const flags = Object.entries({ list, json }).flatMap(([name, isSet]) => (isSet ? [`--${name}`] : []));
    const options = Object.entries(named).map(([name, value]) => `--${name}=${value}`);
    return await runPython(['-m', 'evaluation', ...folders, ...options, ...flags], context);
  });
}

if (import.meta.main) process.exitCode = await evaluate(process.argv.slice(2), processContext(process.env));
