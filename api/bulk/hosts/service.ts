// Bulk jobs as a local service that the Worker asks: `npm start` runs it as a child process. Jobs survive it.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import { whenOrphaned } from '../../../contracts/command/lifetime.ts';
import { PORTS, wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { bulkFolder } from '../../../contracts/src/keys.ts';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { errorDocument } from '../../core/error-document.ts';
import { CoreError } from '../../core/errors.ts';
import { readBody } from '../../encoder/read-body.ts';
import { createRunner } from '../runner.ts';
import { openJobFolder } from '../service/folder.ts';
import { leftIn } from '../service/quota.ts';
import { type Asked, answer, type BulkService, createBulkService } from '../service/routes.ts';
import { currentModel, openUri, shardHost, toUri } from './open.ts';

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

/** Between two looks at ends that nobody could be told of. */
const TELL_MS = 5 * 60_000;
/** The files of a form come here as base64, with a name for each; what clients send was held to their own limit before. */
const BODY_BYTES = Math.ceil((LIMITS.body_bytes * 4) / 3) + 1024 * 1024;

type Line = CommandLine<typeof OPTIONS>;

function openService(store: string, { values }: Line) {
  const objects = openUri(toUri(store));
  const runner = createRunner({
    store: objects,
    open: (id) => openJobFolder(objects, bulkFolder(id)),
    openPlace: openUri,
    host: shardHost(values),
    workers: wholeNumberOf('--workers', values.workers, { from: 1 }),
    send: fetch,
    onProblem: (sentence) => console.error(sentence),
  });
  const named = (values.source ?? []).map(toUri);
  const sources = () => named;
  const current = () => currentModel(values);
  return { runner, service: createBulkService({ store: objects, runner, places: sources, sources, current }) };
}

async function receive(service: BulkService, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://service');
  const [, version, ...path] = pathname.split('/').map(decodeURIComponent);
  const asked: Asked = {
    method: request.method ?? 'GET',
    path: version === 'v1' ? path : [],
    query,
    owner: headerOf(request, 'x-owner'),
    idempotencyKey: headerOf(request, 'idempotency-key'),
    left: leftIn((name) => headerOf(request, name)),
    body: () => readBody(request, BODY_BYTES, tooLarge),
  };
  const found = await answer(service, asked);
  if (!found) throw new CoreError('not_found', `There is no ${asked.method} ${pathname} here.`);
  if ('stream' in found) {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    await pipeline(Readable.from(found.stream), response);
  } else {
    const headers = { 'content-type': 'application/json', ...found.headers };
    response.writeHead(found.isNew ? 201 : 200, headers).end(JSON.stringify(found.json));
  }
}

function tooLarge(): CoreError {
  return new CoreError('body_too_large', `The body may have ${BODY_BYTES} bytes.`);
}

function headerOf(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === 'string' && value !== '' ? value : null;
}

function refuse(response: ServerResponse, error: unknown, requestId: string): void {
  if (!(error instanceof CoreError)) console.error(requestId, error);
  const { status, headers, body } = errorDocument(error, requestId);
  if (response.headersSent) response.destroy();
  else response.writeHead(status, headers).end(JSON.stringify(body));
}

async function main(line: Line): Promise<undefined> {
  const [store] = line.words;
  if (store === undefined) throw new UserError(`STORE is needed.\n\n${HELP}`);
  const port = wholeNumberOf(`$${ENVARS.port}`, process.env[ENVARS.port], PORTS) ?? 0;
  const { service, runner } = openService(store, line);
  const server = createServer((request, response) => {
    const requestId = headerOf(request, 'x-request-id') ?? crypto.randomUUID();
    receive(service, request, response).catch((error: unknown) => refuse(response, error, requestId));
  });
  const stop = (): void => {
    server.close();
    server.closeAllConnections();
    void runner.stop().finally(() => process.exit(0));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
  whenOrphaned(stop);
  await runner.resume();
  setInterval(() => {
    service.tellOverdue({ send: fetch }).catch((error: unknown) => console.error(reasonOf(error)));
  }, TELL_MS).unref();
  server.listen(port, '127.0.0.1', () => {
    const { port: taken } = server.address() as AddressInfo;
    console.log(JSON.stringify({ event: 'listening', port: taken }));
  });
}

await runCommand({ help: HELP, options: OPTIONS, words: 1 }, main);
