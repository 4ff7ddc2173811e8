// The command `npm run claims`: the papers' claims beside what runs of the recipe's variants say, as a table of docs/results.md.
import { join, resolve } from 'node:path';
import { answerCommand, readCommandLine } from '../../../../contracts/command/command-line.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import {
  type CommandContext,
  dataFolder,
  embeddedModel,
  processContext,
  runsFolder,
  vectorsFolder,
} from '../context.ts';
import { runStoppable } from '../interrupts.ts';
import { runPython } from '../python.ts';
import { planClaims, planText } from './plan.ts';

const RECIPE = 'ablations';

const HELP = `Usage: npm run claims [-- RECIPE] [options]

What LLM2CLIP and ProCLIP claim, and what this repository's runs say to the same questions: both arms over the seeds, their
difference with a 95 % interval, whether it is as claimed, or that it was not run. Read from the comparisons that
\`npm run train -- recipes/RECIPE.json --ablate NAMES\` left (default ${RECIPE}); nothing is trained.

  --runs DIR     where runs are (default runs/ in the repository)
  --plan         the questions that have no figures yet, here or in docs/claims.jsonl: the command that makes each one's, what is
                 missing of its runs, and how long that takes by earlier runs
  --measure      first measure what the recipe's runs started from, and the teacher, the control and the exported model on captions
                 in other languages, for which the language model is needed: minutes to an hour. What was measured before is not
                 measured again; Ctrl-C keeps what is done
  --data DIR     with --measure: the data folder (default $${ENVARS.data}, else ../shared/data beside the repository)
  --model DIR    with --measure: the exported model whose students are measured (default api/model)
  --cache DIR    with --measure: where vectors are kept (default runs/evaluation-vectors in the repository)
  --write-docs   write the table into docs/results.md. docs/claims.jsonl keeps what was written before: figures of other runs
                 stay where these have none, or fewer seeds
  --json         one JSON document on standard output instead of the table
  --help         this text
  --version      the version of this program

Environment: ${ENVARS.python} is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 done, 2 refused, ${EXIT.interrupted} interrupted: run the same command again.
`;

const OPTIONS = {
  runs: { type: 'string' },
  plan: { type: 'boolean', default: false },
  measure: { type: 'boolean', default: false },
  data: { type: 'string' },
  model: { type: 'string' },
  cache: { type: 'string' },
  'write-docs': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

/** The whole command; resolves to its exit code. */
export async function claims(argv: readonly string[], context: CommandContext): Promise<number> {
  const { root, cwd } = context;
  return answerCommand(argv, { help: HELP, ...context }, async () => {
    const { values, words } = readCommandLine(argv, { help: HELP, options: OPTIONS, words: 1 });
    const runs = runsFolder(values, context);
    const folders = {
      data: dataFolder(values, context),
      model: resolve(cwd, values.model ?? embeddedModel(context)),
      cache: vectorsFolder(values, context),
      docs: join(root, 'docs', 'results.md'),
    };
    const recipe = words[0] ?? RECIPE;
    const options = Object.entries(folders).map(([name, folder]) => `--${name}=${folder}`);
    const command = ['-m', 'evaluation.claims', join(runs, recipe), ...options];
    if (values.plan) {
      if (values.measure || values['write-docs'])
        throw new UserError('--plan measures and writes nothing: leave --measure and --write-docs out');
      const plan = await planClaims({ recipe, runs, command }, context);
      context.stdout.write(values.json ? `${JSON.stringify(plan)}\n` : planText(plan));
      return EXIT.ok;
    }
    const flags = (['measure', 'json', 'write-docs'] as const).filter((name) => values[name]);
    return await runPython([...command, ...flags.map((name) => `--${name}`)], context);
  });
}

if (import.meta.main) await runStoppable(claims, processContext(process.env), { tells: 'document' });
