// The command `npm run train`: plans a recipe, shows what it will cost, runs what is missing here or on AWS.
import { join } from 'node:path';
import { sentenceOfDisk, standardAnswer } from '../../../contracts/command/command-line.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { contradictions } from '../recipe/checks/contradictions.ts';
import { type ResolvedRecipe, resolveRecipe } from '../recipe/locate.ts';
import { withAblation } from '../recipe/variants.ts';
import { consoleOf } from './console.ts';
import { type CommandContext, processContext } from './context.ts';
import { runStoppable } from './interrupts.ts';
import { trainHere } from './train-here.ts';
import { parseTrainOptions, TRAIN_HELP, type TrainOptions } from './train-options.ts';

/** The whole command; resolves to its exit code. */
export async function train(argv: readonly string[], context: CommandContext): Promise<number> {
  const { stdout, stderr, root, cwd, env } = context;
  const write = (text: string): void => void stdout.write(text);
  const answer = standardAnswer(argv, TRAIN_HELP);
  if (answer !== undefined) {
    write(answer);
    return EXIT.ok;
  }
  const json = argv.includes('--json');
  const emit = consoleOf(context, { json });
  try {
    const options = parseTrainOptions(argv);
    const resolved = ablated(
      resolveRecipe(options.recipe, { folders: [cwd, join(root, 'trainer')], cwd, env }),
      options,
    );
    if (options.show) {
      // The folder of the data as it was found: what is printed means the same wherever it is saved.
      emit({ event: 'recipe', recipe: { ...resolved.recipe, data: resolved.data } });
      return EXIT.ok;
    }
    if (options.on === 'here') return await trainHere(resolved, options, { root, cwd, env, emit });
    // Loaded only here: a run on this machine needs none of the AWS clients.
    const { trainOnAws } = await import('./train-on-aws.ts');
    return await trainOnAws(resolved, options, { root, cwd, env, emit });
  } catch (error) {
    const isRefused = error instanceof UserError;
    const message = isRefused ? error.message : sentenceOfDisk(error);
    if (message === undefined) throw error;
    if (json) emit({ event: 'refused', message });
    else stderr.write(`${message}\n`);
    return isRefused ? EXIT.usage : EXIT.failed;
  }
}

/** With --ablate the recipe compares itself with those variants. */
function ablated(resolved: ResolvedRecipe, { ablate, seeds, at, metrics }: TrainOptions): ResolvedRecipe {
  if (ablate === undefined) return resolved;
  const recipe = withAblation(resolved.recipe, { variants: ablate, seeds, at, metrics });
  const problems = contradictions(recipe);
  if (problems.length > 0) throw new UserError(problems.join('\n'));
  return { ...resolved, recipe };
}

if (import.meta.main) await runStoppable(train, processContext(process.env), { tells: 'events' });
