// `npm start`: the Worker in workerd and the image encoder beside it, on this machine, with the embedded model.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { ENVARS } from '../contracts/src/envars.ts';
import { bundleWorker, EMBEDDED_MODEL } from './bundle.ts';

const HELP = `usage: npm start [-- --model FOLDER] [--port N]
Serves the embedded model on http://127.0.0.1:8787: the page at /, POST /embed, POST /similarity, GET /v1/models.
  --model FOLDER  holds manifest.json and what it names (default api/model)
  --port N        default $PORT, else 8787`;

const HOST = '127.0.0.1';
export const COMPATIBILITY_DATE = '2026-08-01';
const RESTART_MS = 1000;
/** The first request opens the sessions; a slow machine may take this long. */
const READY_MS = 60_000;

interface Options {
  model: string;
  port: number;
}

/** A mistake of the person at the keyboard: printed without a stack. */
class Complaint extends Error {}

// ------------------------------------------------------------------ options

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: { model: { type: 'string' }, port: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return undefined;
  const port = Number(values.port ?? process.env[ENVARS.port] ?? 8787);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Complaint('the port must be 0 to 65535');
  const model = resolve(values.model ?? EMBEDDED_MODEL);
  if (!existsSync(join(model, 'manifest.json'))) {
    throw new Complaint(`${model} holds no model (manifest.json is missing): npm run train makes one`);
  }
  return { model, port };
}

/** Asks for the port itself: workerd's own message names neither the port nor what to do. */
async function freePort(wanted: number): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'is taken' : `cannot be used (${error.code})`;
      fail(new Complaint(`port ${wanted} ${reason}; choose another: PORT=8788 npm start`));
    });
    probe.listen(wanted, HOST, () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address ? address.port : wanted));
    });
  });
}

// ------------------------------------------------------------------ the image encoder

/** A child process that is started again when it dies; its port stays, so that the Worker needs not be told. */
async function startEncoder(model: string) {
  const port = await freePort(0);
  let child: ChildProcess | undefined;
  let isStopping = false;

  function launch(): Promise<void> {
    return new Promise((listening) => {
      const file = fileURLToPath(new URL('encoder/server.ts', import.meta.url));
      const env = { ...process.env, [ENVARS.port]: String(port) };
      // Its own process group: Ctrl-C reaches this process, which ends both in order.
      const started = spawn(process.execPath, [file, '--model', model], {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      });
      child = started;
      createInterface({ input: started.stdout }).on('line', (line) => {
        if (line.includes('"listening"')) listening();
      });
      started.once('exit', (code, signal) => {
        listening();
        if (isStopping) return;
        console.error(
          `the image encoder ended (${signal ?? code}); starting it again. Images answer encoder_unavailable until then.`,
        );
        setTimeout(() => {
          if (!isStopping) launch();
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

// ------------------------------------------------------------------ the Worker

/** `entry`: a file that wraps the Worker's own, for measurements. */
export async function startWorker(options: Options & { encoderUrl: string; entry?: string }): Promise<Miniflare> {
  const playground = fileURLToPath(new URL('playground', import.meta.url));
  const modules = await bundleWorker({ model: options.model, entry: options.entry });
  const settings = convertV4MiniflareOptions({
    host: HOST,
    port: options.port,
    name: 'edge-clip',
    compatibilityDate: COMPATIBILITY_DATE,
    modulesRoot: '/',
    modules: modules.map((module) => ({ ...module, path: `/${module.path}` })),
    bindings: { [ENVARS.encoderUrl]: options.encoderUrl },
    assets: { directory: playground, routerConfig: { has_user_worker: true } },
  });
  return new Miniflare(settings);
}

async function untilReady(url: string): Promise<string> {
  const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(READY_MS) });
  const text = await response.text();
  if (!response.ok) throw new Complaint(`the model is not ready: ${text}`);
  const { model, version } = JSON.parse(text) as { model: string; version: string };
  return `${model} ${version}`;
}

function greeting(url: string, model: string): string {
  const json = "-H 'content-type: application/json'";
  return `
${model} is ready on ${url}

  curl ${url}/embed ${json} -d '{"input": "a dog running through snow"}'
  curl ${url}/similarity ${json} -d '{"a": "a dog in snow", "b": ["a cat", "a husky in winter"]}'
  curl ${url}/embed -F image=@photo.jpg
  curl ${url}/v1/models

Ctrl-C ends it.`;
}

// ------------------------------------------------------------------ main

async function main(): Promise<void> {
  const options = readOptions();
  if (!options) return console.log(HELP);
  const port = await freePort(options.port);
  const encoder = await startEncoder(options.model);
  let worker: Miniflare | undefined;
  let isStopping = false;
  const stop = async () => {
    if (isStopping) return;
    isStopping = true;
    await Promise.all([worker?.dispose(), encoder.stop()]);
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    worker = await startWorker({ ...options, port, encoderUrl: encoder.url });
    await worker.ready;
    const url = `http://${HOST}:${port}`;
    console.log(greeting(url, await untilReady(url)));
  } catch (error) {
    const wasStopping = isStopping;
    await stop();
    if (!wasStopping) throw error;
  }
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Complaint ? error.message : error);
    process.exitCode = 1;
  });
}
