// The image encoder as a local HTTP server: `npm start` runs it as a child process. POST /encode, GET /health.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import {
  announce,
  answering,
  isGone,
  readBody,
  requestIdOf,
  stopWithParent,
} from '../../../contracts/command/local-server.ts';
import { PORTS, wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import {
  BODY_BYTES,
  bodyTooLarge,
  errorResponse,
  type HttpResponse,
  overloaded,
  respond,
  type Service,
} from '../http.ts';
import { openService } from './service.ts';

const PORT = 9000;

const HELP = `Usage: node api/encoder/hosts/server.ts [--model FOLDER] [--registry URI] [--threads N]

Serves POST /encode and GET /health on 127.0.0.1. The variable PORT names the port (default ${PORT}, 0 picks a free one);
the line {"event":"listening","port":N} on standard output says which. SIGTERM and Ctrl-C let running requests finish.
  --model FOLDER  holds manifest.json and what it names (default $CLIP_MODEL, else api/model)
  --registry URI  file:///folder or s3://bucket whose current model is followed (default $MODEL_REGISTRY, else none)
  --threads N     cores that one run of the model may use (default all)
  --help          this text
  --version       name and version
`;
const OPTIONS = {
  model: { type: 'string' },
  registry: { type: 'string' },
  threads: { type: 'string' },
} as const;

/** For a client to send its body, and for running requests to finish at a stop. */
const TIMEOUT_MS = 30_000;
/** Longer than clients keep idle connections, so that none is closed under a request that is just being sent. */
const KEEP_ALIVE_MS = 75_000;

/** `requestMs`: for a client to send its body. */
export function createHttpServer(service: Service, { requestMs = TIMEOUT_MS } = {}) {
  const server = answering(
    async (request, response) => {
      const requestId = requestIdOf(request);
      const reply = await receive(service, request, requestId).catch((error: unknown) =>
        isGone(request) ? undefined : errorResponse(error, requestId),
      );
      if (!reply) return;
      // No further request on this connection: the rest of a body is still on its way, or the server is stopping.
      if (!request.complete || !server.listening) response.setHeader('connection', 'close');
      send(response, reply);
    },
    undefined,
    {
      requestTimeout: requestMs,
      // Where it is the longer of the two, as Node's own is, no request is ever too late.
      headersTimeout: requestMs,
      connectionsCheckingInterval: requestMs / 6,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
  );
  return server;
}

async function receive(service: Service, request: IncomingMessage, requestId: string): Promise<HttpResponse> {
  const { method = 'GET', url = '/' } = request;
  const path = url.replace(/\?.*/, '');
  const declared = Number(request.headers['content-length'] ?? (request.headers['transfer-encoding'] ? Infinity : 0));
  if (declared > BODY_BYTES && declared !== Infinity) throw bodyTooLarge(declared);
  const release = service.admission.enter({ bytes: Math.min(declared, BODY_BYTES) });
  if (!release) throw overloaded(service.admission, 'request bodies');
  try {
    const body = await readBody(request, BODY_BYTES, bodyTooLarge);
    return await respond(service, { method, path, body, requestId, contentType: request.headers['content-type'] });
  } finally {
    release();
  }
}

function send(response: ServerResponse, { status, headers, body }: HttpResponse): void {
  response.writeHead(status, headers).end(body);
}

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<undefined> {
  const { model, registry } = values;
  const port = wholeNumberOf(`$${ENVARS.port}`, process.env[ENVARS.port], PORTS) ?? PORT;
  const service = await openService({
    model,
    registry,
    threads: wholeNumberOf('--threads', values.threads, { from: 1 }),
  });
  const server = createHttpServer(service);
  stopWithParent(() => {
    server.close(() => service.close().finally(() => process.exit(0)));
    server.closeIdleConnections();
    setTimeout(() => process.exit(1), TIMEOUT_MS).unref();
  });
  await announce(server, port);
}

if (import.meta.main) await runCommand({ help: HELP, options: OPTIONS }, main);
