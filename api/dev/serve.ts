// `npm start`: the Worker in workerd and the image encoder beside it, on this machine; both follow a registry folder.

import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { whenNpmEnds } from '../../contracts/command/lifetime.ts';
import { freePort } from '../../contracts/command/local-server.ts';
import { PORTS, wholeNumberOf } from '../../contracts/command/numbers.ts';
import { usersFolder } from '../../contracts/command/users-folder.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { artefactsIn } from '../../contracts/src/model/artefact.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { KEY_FILE } from '../keys/file-store.ts';
import { fromFileUri } from '../registry/stores/file-uri.ts';
import { readModelFolder, requireIntact } from './assets/model-folder.ts';
import { EMBEDDED_MODEL } from './bundle.ts';
import { startLocal } from './local.ts';
import { printRequest, SIGNALS } from './local-worker.ts';

const PORT = 8787;

const HELP = `Usage: npm start [-- --model FOLDER] [--registry FOLDER] [--port N]
                     [--keys FILE] [--require-keys] [--jobs FOLDER] [--job-source PLACE]…

Serves a model on http://127.0.0.1:${PORT}: the page at /, POST /embed, POST /similarity, GET /v1/models.
  --model FOLDER     the embedded model: holds manifest.json and what it names (default api/model)
  --registry FOLDER  what is published there is served within seconds, without a restart (default $${ENVARS.registry},
                     else registry)
  --port N           default $${ENVARS.port}, else ${PORT}
  --keys FILE        API keys that \`npm run keys\` made (default keys.json); a request with another key is refused
  --require-keys     refuse requests without a key, too; without this they are answered, on this machine only
  --jobs FOLDER      bulk jobs and what comes of them (default jobs); they go on with the next start
  --job-source PLACE a folder, s3:// or r2:// prefix that bulk jobs may read from; may be given again
  --help             this text
  --version          name and version

Pages of this machine may read answers, on whatever port they are; ${ENVARS.corsOrigins} names other origins.
SIGINT (Ctrl-C), SIGTERM or SIGHUP ends it, a second one at once. Exit codes: 0 ended, 1 failed, 2 refused before anything ran.
`;
const OPTIONS = {
  model: { type: 'string' },
  registry: { type: 'string' },
  port: { type: 'string' },
  keys: { type: 'string' },
  'require-keys': { type: 'boolean' },
  jobs: { type: 'string' },
  'job-source': { type: 'string', multiple: true, default: [] as string[] },
} as const;

/** The repository's own; it may appear later. */
const REGISTRY = fileURLToPath(new URL('../../registry', import.meta.url));
const JOBS = fileURLToPath(new URL('../../jobs', import.meta.url));
/** The first request opens the sessions; a slow machine may take this long. */
const READY_MS = 60_000;
/** npm passes on what a terminal sends to all of them: so close together, two signals are one Ctrl-C. */
const ECHO_MS = 500;

interface Options {
  model: string;
  /** Model whose pointer is followed. */
  name: string | undefined;
  port: number;
  registry: string;
  keys: string;
  requireKeys: boolean;
  /** What the environment says of the Worker. */
  variables: Record<string, string>;
  jobs: string;
  jobSources: string[];
}

function readOptions({ values }: CommandLine<typeof OPTIONS>): Options {
  const { [ENVARS.port]: given, [ENVARS.corsOrigins]: origins } = process.env;
  const port = wholeNumberOf('--port', values.port, PORTS) ?? wholeNumberOf(ENVARS.port, given, PORTS) ?? PORT;
  const { model = EMBEDDED_MODEL, keys = KEY_FILE, jobs = JOBS } = values;
  return {
    model: folderOf('--model', model),
    name: process.env[ENVARS.modelName],
    port,
    registry: registryOf(values.registry),
    keys: fileOf('--keys', keys),
    requireKeys: values['require-keys'] ?? false,
    variables: origins === undefined ? {} : { [ENVARS.corsOrigins]: origins },
    jobs: folderOf('--jobs', jobs),
    jobSources: (values['job-source'] ?? []).map((place) =>
      /^(?!file:)\w+:\/\//.test(place) ? place : folderOf('--job-source', place),
    ),
  };
}

/** A path from where the user stands, or a file:// URI. Throws a UserError that names `option`, or the variable, for another place. */
function pathOf(option: string, place: string): string {
  const path = place.includes('://') ? fromFileUri(place) : place;
  if (path === undefined)
    throw new UserError(`${option} is ${place}, and npm start takes a path of this machine there, or file:///PATH`);
  return resolve(usersFolder(), path);
}

function registryOf(option: string | undefined): string {
  const { [ENVARS.registry]: shared } = process.env;
  if (option !== undefined || !shared) return folderOf('--registry', option ?? REGISTRY);
  return folderOf(`$${ENVARS.registry}, which --registry goes before,`, shared);
}

/** It need not be there yet. */
function folderOf(option: string, place: string): string {
  const folder = pathOf(option, place);
  if (statSync(folder, { throwIfNoEntry: false })?.isFile())
    throw new UserError(`${option} is ${place}, a file: name a folder`);
  return folder;
}

/** It need not be there yet. */
function fileOf(option: string, place: string): string {
  const file = pathOf(option, place);
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory())
    throw new UserError(`${option} is ${place}, a folder: name a file, which need not be there yet`);
  return file;
}

/** The executable that Miniflare brings along. */
function workerdPath(): string {
  const { resolve: find } = createRequire(import.meta.url);
  const load = createRequire(find('miniflare'));
  return (load('workerd') as { default: string }).default;
}

async function untilReady(url: string): Promise<string> {
  const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(READY_MS) });
  const text = await response.text();
  if (!response.ok) throw new UserError(`the model is not ready: ${text}`);
  const { model, version } = JSON.parse(text) as { model: string; version: string };
  return `${model} ${version}`;
}

function greeting(url: string, model: string): string {
  const json = "-H 'content-type: application/json'";
  return `
${model} is ready on ${url}

  curl -s ${url}/embed ${json} -d '{"input": "a dog running through snow"}' | head -c 300
  curl ${url}/similarity ${json} -d '{"a": "a dog in snow", "b": ["a cat", "a husky in winter"]}'
  curl -s ${url}/embed -F image=@api/playground/samples/cat.jpg | head -c 300
  curl ${url}/v1/models

Ctrl-C ends it.`;
}

// ------------------------------------------------------------------ main

async function main(line: CommandLine<typeof OPTIONS>): Promise<undefined> {
  const options = readOptions(line);
  // Before a child starts that would end at once, or a Worker that answers texts alone.
  await requireIntact(options.model, artefactsIn(readModelFolder(options.model)));
  // Miniflare runs this in place of workerd, which would outlive a killed parent.
  process.env.WORKERD = workerdPath();
  process.env.MINIFLARE_WORKERD_PATH = fileURLToPath(new URL('guarded-workerd.sh', import.meta.url));
  const port = await freePort(options.port);
  const starting = startLocal({ ...options, port, onRequest: printRequest, isEndedByCaller: true });
  let stopped: number | undefined;
  const stop = async (): Promise<void> => {
    if (stopped !== undefined) return;
    stopped = performance.now();
    await starting.then((local) => local.stop(), ignore);
  };
  const stopAtSignal = (): void => {
    if (stopped !== undefined && performance.now() - stopped > ECHO_MS) process.exit(EXIT.failed);
    void stop();
  };
  for (const signal of SIGNALS) process.on(signal, stopAtSignal);
  whenNpmEnds(process.env, () => void stop());
  try {
    const { url } = await starting;
    console.log(greeting(url, await untilReady(url)));
  } catch (error) {
    const wasStopping = stopped !== undefined;
    await stop();
    if (!wasStopping) throw error;
  }
}

function ignore(): void {}

if (import.meta.main) await runCommand({ help: HELP, options: OPTIONS }, main);
