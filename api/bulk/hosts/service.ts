// Bulk jobs as a local service that the Worker asks: `npm start` runs it as a child process. Jobs survive it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import {
  announce,
  answering,
  headerOf,
  readBody,
  requestIdOf,
  stopWithParent,
} from '../../../contracts/command/local-server.ts';
import { PORTS, wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { headOf } from '../../../contracts/src/api/download.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { bulkFolder } from '../../../contracts/src/keys.ts';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { errorResponse } from '../../encoder/http.ts';
import { createRunner } from '../runner.ts';
import { openJobFolder } from '../service/folder.ts';
import { answer, askedIn, type BulkService, createBulkService } from '../service/routes.ts';
import { currentModel, openUri, shardHost, toUri, webhookHosts } from './open.ts';
import { sendOutside } from './send.ts';

const HELP = `Usage: node api/bulk/hosts/service.ts STORE [--source URI]… [--model FOLDER] [--registry URI] [--workers N]

Keeps bulk jobs, their files and what comes of them in STORE (a folder or file:// URI), and runs them as processes of this
machine, one job after the other; those that were not finished go on. Answers on 127.0.0.1 what the Worker asks at
/v1/jobs, /v1/files and /v1/batches, and believes it who asks: it is for nobody else. The variable PORT names the port
(default 0: a free one); the line {"event":"listening","port":N} on standard output says which.
  --source URI    a place that inputs may be read from; may be given again (default none: items and files only)
  --model FOLDER  holds manifest.json and what it names (default $CLIP_MODEL, else api/model)
  --registry URI  embeds with the current model of that registry (default $MODEL_REGISTRY)
  --workers N     processes of a job (default all cores but one)
  --help          this text
  --version       name and version
`;
const OPTIONS = {
  source: { type: 'string', multiple: true, default: [] as string[] },
  model: { type: 'string' },
  registry: { type: 'string' },
  workers: { type: 'string' },
} as const;

/** Between two attempts to tell of ends that could not be told of before. */
const TELL_MS = 5 * 60_000;
/** The files of a form come here as base64, with a name for each; what clients send was held to their own limit before. */
const BODY_BYTES = Math.ceil((LIMITS.body_bytes * 4) / 3) + 1024 * 1024;

type Line = CommandLine<typeof OPTIONS>;

const onProblem = (sentence: string): void => console.error(sentence);

function openService(store: string, { values }: Line) {
  const objects = openUri(toUri(store));
  const runner = createRunner({
    store: objects,
    open: (id) => openJobFolder(objects, bulkFolder(id)),
    openPlace: openUri,
    host: shardHost(values),
    workers: wholeNumberOf('--workers', values.workers, { from: 1 }),
    send: sendOutside,
    webhookHosts: webhookHosts(),
    onProblem,
  });
  const named = (values.source ?? []).map(toUri);
  const sources = () => named;
  const current = () => currentModel(values);
  return {
    runner,
    service: createBulkService({
      store: objects,
      runner,
      places: sources,
      sources,
      current,
      webhookHosts: webhookHosts(),
      onProblem,
    }),
  };
}

async function receive(service: BulkService, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const asked = askedIn({
    method: request.method ?? 'GET',
    url: request.url ?? '/',
    headerOf: (name) => headerOf(request, name),
    body: () => readBody(request, BODY_BYTES, tooLarge),
  });
  const found = await answer(service, asked);
  if (!('json' in found)) {
    const { status, headers } = headOf(found);
    response.writeHead(status, headers);
    await pipeline(Readable.from(found.stream ?? []), response);
  } else {
    const headers = { 'content-type': 'application/json', ...found.headers };
    response.writeHead(found.isNew ? 201 : 200, headers).end(JSON.stringify(found.json));
  }
}

function tooLarge(): CoreError {
  return new CoreError('body_too_large', `The body may have ${BODY_BYTES} bytes.`);
}

function refuse(response: ServerResponse, error: unknown, request: IncomingMessage): void {
  const { status, headers, body } = errorResponse(error, requestIdOf(request));
  response.writeHead(status, headers).end(body);
}

async function main(line: Line): Promise<undefined> {
  const [store] = line.words;
  if (store === undefined) throw new UserError(`STORE is needed.\n\n${HELP}`);
  const port = wholeNumberOf(`$${ENVARS.port}`, process.env[ENVARS.port], PORTS) ?? 0;
  const { service, runner } = openService(store, line);
  const server = answering((request, response) => receive(service, request, response), refuse);
  stopWithParent(() => {
    server.close();
    server.closeAllConnections();
    void runner.stop().finally(() => process.exit(0));
  });
  await runner.resume();
  setInterval(() => {
    service
      .tellOverdue({ send: sendOutside, hosts: webhookHosts() })
      .catch((error: unknown) => console.error(reasonOf(error)));
  }, TELL_MS).unref();
  await announce(server, port);
}

await runCommand({ help: HELP, options: OPTIONS, words: 1 }, main);
