// `npm run loop`: from new data to new answers and back again on this machine, under load, with its timeline.
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { listenForInterrupts } from '../../trainer/control/cli/interrupts.ts';
import { heading, lineOf, type Row } from './timeline.ts';
import type { Loop } from './walk.ts';

const HELP = `Usage: npm run loop [-- --json]

The whole loop on this machine, about a minute: \`npm run deploy\` against emulated APIs, a recipe that the schedule trains and
publishes, \`npm run data -- push\` of new data, whose event trains and publishes again, and \`npm run model -- rollback\`. The
state machine, its functions, the training container, the registry in an R2 bucket, the Worker and the image encoder are the
real ones; a stage is a small program without tensors, and its last one hands over the embedded model or, of the new data, a
twin whose every answer is known. From the deployment on the Worker is asked without a pause, by three clients at a time.

Prints each step with when it began, how long it took, and the requests so far. It fails where a request failed, where a vector
is not one of the space that its answer names, or where the spaces did not come in their order.

  --json      every step as a line of JSON, and the outcome
  --help      this text
  --version   name and version

Environment: TRAINER_PYTHON is a Python interpreter with the trainer's dependencies, used instead of trainer/.venv.
Exit codes: 0 shown, 1 something failed, ${EXIT.interrupted} interrupted: nothing is left behind.
`;
const OPTIONS = { json: { type: 'boolean' } } as const;

async function main({ values: { json = false } }: CommandLine<typeof OPTIONS>): Promise<number> {
  const interrupts = listenForInterrupts(process.env);
  const { stop } = interrupts.signals;
  const onRow = (row: Row): void => console.log(json ? JSON.stringify(row) : lineOf(row));
  if (!json) console.log(heading());
  // Behind --help: what synthesises the stacks takes seconds to load.
  const { closeLoop } = await import('./walk.ts');
  try {
    const loop = await closeLoop({ onRow, stop });
    console.log(json ? JSON.stringify(loop) : outcomeOf(loop).join('\n'));
    return isShown(loop) ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (!stop.aborted) throw error;
    return EXIT.interrupted;
  } finally {
    interrupts.end();
  }
}

/** No request failed, no vector came under another space's name, and each client saw the spaces in their order. */
function isShown({ failures, wrong, spaces, first, second }: Loop): boolean {
  const order = [first, second, first].join();
  return failures.length === 0 && wrong === 0 && Object.values(spaces).every((seen) => seen.join() === order);
}

function outcomeOf(loop: Loop): string[] {
  const { answered, failures, wrong, slowest_ms, seconds } = loop;
  const { texts, image, fresh } = answered;
  return [
    '',
    `${texts + image + fresh} requests in ${seconds.toFixed(0)} s (${texts} of known texts, ${image} of an image, ${fresh} of new texts), ` +
      `the slowest ${Math.round(slowest_ms)} ms: ${failures.length} failed, ${wrong} with vectors of another space than they name.`,
    ...failures.slice(0, 5),
    isShown(loop) ? 'The loop is closed.' : 'The loop is NOT closed.',
  ];
}

await runCommand({ help: HELP, options: OPTIONS }, main);
