// Plans the rest of `npm run claims`: the questions without figures by the command that makes them, and how long it takes.
import { join, relative } from 'node:path';
import { z } from 'zod';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { visibleGpus } from '../../local/machine-share.ts';
import { planHere } from '../../local/plan.ts';
import { comparableHere } from '../../plan/estimate.ts';
import { selectJobs } from '../../plan/select-jobs.ts';
import { type Left, leftOf, type StagePlan, stagePlans } from '../../plan/stage-plan.ts';
import { resolveRecipe } from '../../recipe/locate.ts';
import { withAblation } from '../../recipe/variants.ts';
import { pastRuns } from '../../run/folder.ts';
import { durationText } from '../../run/progress.ts';
import { consoleOf } from '../console.ts';
import type { CommandContext } from '../context.ts';
import { runPython } from '../python.ts';

/** As evaluation/claims prints them: the variants that they compare, and whether the comparison has to be measured afterwards. */
const Questions = z.array(
  z.strictObject({
    claim: z.string(),
    what: z.string(),
    variants: z.array(z.string()),
    measure: z.boolean(),
    /** These runs have the comparison: it is to be measured only. */
    compared: z.boolean(),
  }),
);

export interface ClaimsPlan {
  recipe: string;
  /** A comparison each, the questions that it answers, and what is left of it. */
  comparisons: ({ command: string; measure: boolean; questions: string[] } & Left)[];
  /** All of them together: what they share is counted once. */
  together: Left;
  /** What these runs answer as they are, once they are measured. */
  measure: { command: string; questions: string[] };
  /** The command that puts what was found into docs/. */
  afterwards: string;
}

export interface Asked {
  recipe: string;
  runs: string;
  /** The Python command that knows the questions. */
  command: readonly string[];
}

/** Plans every comparison that an open question needs. Nothing is run. */
export async function planClaims({ recipe, runs, command }: Asked, context: CommandContext): Promise<ClaimsPlan> {
  const { root, cwd, env, stderr } = context;
  const resolved = resolveRecipe(join('recipes', `${recipe}.json`), {
    folders: [cwd, join(root, 'trainer')],
    cwd,
    env,
  });
  const emit = consoleOf({ stdout: stderr }, { json: false });
  const past = comparableHere(pastRuns(runs), { gpus: visibleGpus(env).length, ranks: 1 });
  const place = runs === join(root, 'runs') ? '' : ` --runs ${relative(cwd, runs) || '.'}`;
  const all = new Map<string, StagePlan>();
  const comparisons: ClaimsPlan['comparisons'] = [];
  const open = await openQuestions(command, context);
  const toRun = open.filter(({ compared }) => !compared);
  for (const [names, questions] of Map.groupBy(toRun, ({ variants }) => variants.join())) {
    const variants = names.split(',');
    const varied = { ...resolved, recipe: withAblation(resolved.recipe, { variants }) };
    const plan = await planHere(varied, { root, runs, onRead: (bytes) => emit({ event: 'reading_data', bytes }) });
    const stages = stagePlans(selectJobs(plan, { to: 'compare' }), past);
    for (const stage of stages) all.set(stage.address, stage);
    comparisons.push({
      command: `npm run train -- recipes/${recipe}.json --ablate ${names}${place}`,
      measure: questions.some(({ measure }) => measure),
      questions: questions.map(({ what }) => what),
      ...leftOf(stages),
    });
  }
  const claims = (option: string): string => `npm run claims -- ${recipe} ${option}${place}`;
  const questions = open.filter(({ compared }) => compared).map(({ what }) => what);
  return {
    recipe,
    comparisons,
    together: leftOf([...all.values()]),
    measure: { command: claims('--measure'), questions },
    afterwards: claims('--write-docs'),
  };
}

async function openQuestions(command: readonly string[], context: CommandContext): Promise<z.infer<typeof Questions>> {
  let printed = '';
  const stdout = { write: (text: string) => (printed += text) };
  const code = await runPython([...command, '--open'], { ...context, stdout });
  if (code !== EXIT.ok) throw new UserError(`the questions could not be read (exit code ${code})`);
  return Questions.parse(JSON.parse(printed));
}

/** For a person. */
export function planText({ comparisons, together, measure, afterwards }: ClaimsPlan): string {
  const open = [...comparisons, measure].flatMap(({ questions }) => questions).length;
  if (open === 0) return 'Every question has figures.\n';
  const told = (questions: readonly string[]): string => `  answers: ${[...new Set(questions)].join('; ')}`;
  const lines = comparisons.flatMap(({ command, measure: isMeasured, questions, ...left }) => [
    '',
    `${command}${isMeasured ? `, then ${measure.command}` : ''}`,
    `  ${leftText(left)}`,
    told(questions),
  ]);
  if (measure.questions.length > 0)
    lines.push('', measure.command, '  the runs are there: minutes to an hour', told(measure.questions));
  const runs = comparisons.length === 0 ? [] : [`All runs: ${leftText(together)}; what they share is run once.`];
  return [`${open} questions have no figures yet.`, ...lines, '', ...runs, `Afterwards: ${afterwards}`, ''].join('\n');
}

function leftText({ jobs, missing, estimated_seconds: seconds, without_estimate: unknown }: Left): string {
  if (missing === 0) return `all ${jobs} runs are finished`;
  const known = missing - unknown;
  const time = known === 0 ? 'no earlier run says how long' : `about ${durationText(seconds)} by earlier runs`;
  const rest = known > 0 && unknown > 0 ? `, and ${unknown} that no earlier run is like` : '';
  return `${missing} of ${jobs} runs to do, ${time}${rest}`;
}
