// Turns Ctrl-C into two abort signals: the first press asks, the second one forces.
import { whenNpmEnds } from '../../../contracts/command/lifetime.ts';

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
