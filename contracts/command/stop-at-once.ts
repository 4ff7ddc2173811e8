// Ctrl-C where nothing runs yet that has to save: a sentence and the exit code of an interruption, instead of death by the signal.
import { EXIT } from '../src/exit-codes.ts';
import { whenNpmEnds } from './lifetime.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

let own = 0;

/**
 * At a signal, or the end of npm, says that the command was stopped and ends this process. While somebody else listens,
 * because there is something to save, the signal is theirs. `env`: the process's. Returns how to end it.
 */
export function stopAtOnce(env: NodeJS.ProcessEnv, say: () => void): () => void {
  const onSignal = (name: NodeJS.Signals): void => {
    if (isHeard(name)) return;
    say();
    process.exit(EXIT.interrupted);
  };
  own += 1;
  for (const name of SIGNALS) process.on(name, onSignal);
  const endWatch = whenNpmEnds(env, () => onSignal('SIGTERM'));
  return function end() {
    own -= 1;
    for (const name of SIGNALS) process.removeListener(name, onSignal);
    endWatch();
  };
}

/** Whether somebody listens who has something to save. */
export function isHeard(name: NodeJS.Signals): boolean {
  return process.listenerCount(name) > own;
}
