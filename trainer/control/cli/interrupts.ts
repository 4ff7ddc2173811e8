// Turns Ctrl-C into two abort signals: the first press asks, the second one forces.

/** npm passes on a Ctrl-C that the terminal has already sent to us: two within a second are one. */
const ONE_PRESS_MS = 1_000;

/** First Ctrl-C (or SIGTERM, or a closed terminal): `stop`. A second one: `kill`. */
export function listenForInterrupts(): { signals: { stop: AbortSignal; kill: AbortSignal }; end(): void } {
  const [stop, kill] = [new AbortController(), new AbortController()];
  let stoppedAt = 0;
  const onSignal = (): void => {
    if (!stop.signal.aborted) {
      stoppedAt = Date.now();
      stop.abort();
    } else if (Date.now() - stoppedAt > ONE_PRESS_MS) kill.abort();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  return {
    signals: { stop: stop.signal, kill: kill.signal },
    end() {
      for (const name of names) process.removeListener(name, onSignal);
    },
  };
}
