// The image encoder as a child process of this one.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ENVARS } from '../../contracts/src/envars.ts';
import { ListeningLine, readEvent } from '../../contracts/src/events.ts';
import { freePort, HOST } from './local-address.ts';

const RESTART_MS = 1000;

export interface EncoderOptions {
  model: string;
  /** Folder to follow; undefined: `model` is served permanently. */
  registry: string | undefined;
  /** Between two polls of it. */
  pollMs: number;
}

/** A child process that is started again when it dies; its port stays, so that the Worker need not be told. */
export async function startEncoder({ model, registry, pollMs }: EncoderOptions) {
  const port = await freePort(0);
  let child: ChildProcess | undefined;
  let isStopping = false;

  function launch(): Promise<void> {
    return new Promise((listening) => {
      const file = fileURLToPath(new URL('../encoder/hosts/server.ts', import.meta.url));
      const env = { ...process.env, [ENVARS.port]: String(port), [ENVARS.registrySeconds]: String(pollMs / 1000) };
      const following = registry === undefined ? [] : ['--registry', `file://${registry}`];
      // Its own process group: Ctrl-C reaches this process, which ends both in order.
      const started = spawn(process.execPath, [file, '--model', model, ...following], {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      });
      child = started;
      createInterface({ input: started.stdout }).on('line', (line) => {
        if (readEvent(ListeningLine, line)) listening();
      });
      started.once('exit', (code, signal) => {
        listening();
        if (isStopping) return;
        console.error(
          `the image encoder ended (${signal ?? code}); starting it again. Images answer encoder_unavailable until then.`,
        );
        setTimeout(() => {
          if (!isStopping) void launch();
        }, RESTART_MS);
      });
    });
  }

  function stop(): Promise<void> {
    isStopping = true;
    return new Promise((done) => {
      if (!child || child.exitCode !== null || child.signalCode !== null) return done();
      child.once('exit', () => done());
      child.kill('SIGTERM');
    });
  }

  await launch();
  return { url: `http://${HOST}:${port}`, stop };
}
