// A server as a child process of this one, which is started again when it dies.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { atExit } from '../../contracts/command/at-exit.ts';
import { freePort, HOST } from '../../contracts/command/local-server.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { ListeningLine, readEvent } from '../../contracts/src/events.ts';

/** Before it is started again: after an end soon after its start the next pause is twice as long, until there is one a minute. */
const RESTART_MS = 1000;
const LONGEST_RESTART_MS = 60_000;
/** Having run for so long, it did start. */
const STEADY_MS = 10_000;

export interface ProcessOptions {
  file: string;
  words: string[];
  env?: Record<string, string>;
  /** What a message calls it, and what its absence means. */
  name: string;
  consequence: string;
}

export interface LocalProcess {
  url: string;
  stop(): Promise<void>;
}

/** Its port stays, so that the Worker need not be told. */
export async function startProcess({
  file,
  words,
  env = {},
  name,
  consequence,
}: ProcessOptions): Promise<LocalProcess> {
  const port = await freePort(0);
  let child: ChildProcess | undefined;
  let isStopping = false;
  let pause = RESTART_MS;
  let timer: NodeJS.Timeout | undefined;

  function launch(): Promise<void> {
    return new Promise((listening) => {
      // Its own process group: Ctrl-C reaches this process, which ends all of them in order.
      const started = spawn(process.execPath, [file, ...words], {
        env: { ...process.env, ...env, [ENVARS.port]: String(port) },
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      });
      child = started;
      const since = performance.now();
      createInterface({ input: started.stdout }).on('line', (line) => {
        if (readEvent(ListeningLine, line)) listening();
      });
      started.once('exit', (code, signal) => {
        listening();
        if (isStopping) return;
        if (performance.now() - since >= STEADY_MS) pause = RESTART_MS;
        console.error(`${name} ended (${signal ?? code}); starting it again in ${pause / 1000} s. ${consequence}`);
        timer = setTimeout(() => void launch(), pause);
        pause = Math.min(2 * pause, LONGEST_RESTART_MS);
      });
    });
  }

  // Where this process does not wait for the end of its child, the child does not wait either: a second signal ends it at once.
  const leave = () => void child?.kill('SIGTERM');
  const takeBack = atExit(leave);

  function stop(): Promise<void> {
    isStopping = true;
    clearTimeout(timer);
    return new Promise<void>((done) => {
      if (!child || child.exitCode !== null || child.signalCode !== null) return done();
      child.once('exit', () => done());
      child.kill('SIGTERM');
    }).finally(takeBack);
  }

  await launch();
  return { url: `http://${HOST}:${port}`, stop };
}
