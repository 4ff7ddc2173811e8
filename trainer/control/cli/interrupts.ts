// Turns Ctrl-C into two abort signals: the first press asks, the second one forces. Before anything runs it ends the command.
import { runMain } from '../../../contracts/command/command-line.ts';
import { whenNpmEnds } from '../../../contracts/command/lifetime.ts';
import { stopAtOnce } from '../../../contracts/command/stop-at-once.ts';
import { consoleOf } from './console.ts';
import type { CommandContext } from './context.ts';

/** npm passes on a Ctrl-C that the terminal has already sent to us: two within a second are one. */
const ONE_PRESS_MS = 1_000;

/** First Ctrl-C (or SIGTERM, a closed terminal, the end of npm): `stop`. A second one: `kill`. `env`: the process's. */
export function listenForInterrupts(env: NodeJS.ProcessEnv): {
  signals: { stop: AbortSignal; kill: AbortSignal };
  end(): void;
} {
  const [stop, kill] = [new AbortController(), new AbortController()];
  let stoppedAt = 0;
  const onSignal = (): void => {
    if (!stop.signal.aborted) {
      stoppedAt = performance.now();
      stop.abort();
    } else if (performance.now() - stoppedAt > ONE_PRESS_MS) kill.abort();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  const endWatch = whenNpmEnds(env, onSignal);
  return {
    signals: { stop: stop.signal, kill: kill.signal },
    end() {
      for (const name of names) process.removeListener(name, onSignal);
      endWatch();
    },
  };
}

const STOPPED = 'Stopped. Nothing is lost: run the same command again, and it goes on from here.';

/**
 * The process of a command that plans, reads data or installs Python packages before a stage or program of it runs. A signal
 * meanwhile ends it in a sentence. `tells`: what it prints with --json is events.
 */
export async function runStoppable(
  command: (argv: readonly string[], context: CommandContext) => Promise<number>,
  context: CommandContext,
  { tells }: { tells: 'events' | 'document' },
): Promise<void> {
  const argv = process.argv.slice(2);
  const isEvent = tells === 'events' && argv.includes('--json');
  const end = stopAtOnce(context.env, () => {
    if (isEvent) consoleOf(context, { json: true })({ event: 'interrupted', id: null, message: STOPPED });
    else context.stderr.write(`${STOPPED}\n`);
  });
  await runMain(() => command(argv, context));
  end();
}
