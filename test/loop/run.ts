// `npm run loop`: from new data to new answers and back again on this machine, under load, with its timeline.
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { listenForInterrupts } from '../../trainer/control/cli/interrupts.ts';
import { isShown, outcomeOf, writeDocs } from './report.ts';
import { heading, lineOf, type Row } from './timeline.ts';

const HELP = `Usage: npm run loop [-- --small-programs] [--write-docs] [--json]

The whole loop on this machine, about five minutes: \`npm run deploy\` against emulated APIs, a recipe that the schedule trains and
publishes, \`npm run data -- push\` of new data, whose event trains and publishes again, and \`npm run model -- rollback\`. The
stages train, in the files of the training image: a random language model of two layers teaches a CLIP to tell drawn shapes
(test/loop/recipe.json), and new data are pictures of colours that the first training lacked. The state machine, its
functions, the training container, the gate, the registry in an R2 bucket, the Worker and the image encoder are the real
ones, too. From the deployment on the Worker is asked without a pause, by three clients at a time.

Prints each step with when it began, how long it took, and the requests so far. It fails where a request failed, where a vector
is not what the published model that its answer names makes of the same input, or where the spaces did not come in their order.

  --small-programs  a stage is a small program without tensors, whose last one hands over a model that is there: a minute
  --write-docs      writes the timeline into infra/README.md, where it was shown
  --json            every step as a line of JSON, and the outcome
  --help            this text
  --version         name and version

Environment: TRAINER_PYTHON is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 shown, 1 something failed, ${EXIT.interrupted} interrupted: nothing is left behind.
`;
const OPTIONS = {
  'small-programs': { type: 'boolean' },
  'write-docs': { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  const { json = false } = values;
  const interrupts = listenForInterrupts(process.env);
  const { stop } = interrupts.signals;
  const rows: Row[] = [];
  const onRow = (row: Row): void => {
    rows.push(row);
    console.log(json ? JSON.stringify(row) : lineOf(row));
  };
  if (!json) console.log(heading());
  // Behind --help: what synthesises the stacks takes seconds to load.
  const { closeLoop } = await import('./walk.ts');
  const { smallPrograms, trainedStages } = await import('./checkout.ts');
  try {
    const isSmall = values['small-programs'] === true;
    const loop = await closeLoop({ makeCheckout: isSmall ? smallPrograms : trainedStages, onRow, stop });
    const command = `npm run loop${isSmall ? ' -- --small-programs' : ''}`;
    if (values['write-docs'] && isShown(loop)) console.error(`wrote ${writeDocs(command, rows, loop)}`);
    console.log(json ? JSON.stringify(loop) : ['', ...outcomeOf(loop)].join('\n'));
    return isShown(loop) ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (!stop.aborted) throw error;
    return EXIT.interrupted;
  } finally {
    interrupts.end();
  }
}

await runCommand({ help: HELP, options: OPTIONS }, main);
