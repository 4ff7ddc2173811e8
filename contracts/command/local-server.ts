// Servers of this machine: where they listen, what their failures become, how a body is read, and how a child's server begins and ends.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createSocket, type Server as SocketServer } from 'node:net';
import type { ListeningLine } from '../src/events.ts';
import { codeOf, reasonOf, UserError } from '../src/user-error.ts';
import { whenOrphaned } from './lifetime.ts';

/** No other machine reaches these servers. */
export const HOST = '127.0.0.1';

/** Asks for the port itself: workerd's own message names neither the port nor what to do. 0: any that is free. */
export async function freePort(wanted: number): Promise<number> {
  const probe = createSocket();
  await listenAt(probe, wanted);
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  return port;
}

async function listenAt(server: SocketServer, port: number): Promise<void> {
  server.listen(port, HOST);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = codeOf(error);
    const reason = code === 'EADDRINUSE' ? 'is taken' : `cannot be used (${code})`;
    throw new UserError(`port ${port} ${reason}; choose another by the variable PORT, such as PORT=8788`);
  }
}

type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;
type Refuse = (response: ServerResponse, error: unknown, request: IncomingMessage) => void;

/**
 * A server whose failures are answers and never the end of its process: `refuse` writes one where the answer has not
 * begun, and the connection ends where it has, or where the caller is gone.
 */
export function answering(answer: Answer, refuse: Refuse = refusePlainly, options: ServerOptions = {}): Server {
  return createServer(options, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent || isGone(request)) response.destroy();
      else refuse(response, error, request);
    });
  });
}

const refusePlainly: Refuse = (response, error) => {
  response.writeHead(500, { 'content-type': 'text/plain' }).end(reasonOf(error));
};

/** A body, bounded while it arrives. Throws `tooLarge(bytes so far)`; the connection stays, so that the client reads the refusal. */
export async function readBody(
  request: IncomingMessage,
  most: number,
  tooLarge: (size: number) => Error,
): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) throw tooLarge(size);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Whether the caller went away, or took too long, before all of its body was here: nobody reads an answer. */
export function isGone({ destroyed, complete }: IncomingMessage): boolean {
  return destroyed && !complete;
}

/** A header that the Worker sets on its calls; undefined where there is none, or an empty one. */
export function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const { [name]: value } = headers;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** By which the log lines of several processes are joined: the caller's where it is one, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const sent = headerOf(request, 'x-request-id') ?? '';
  return /^[\w.-]{1,128}$/.test(sent) ? sent : crypto.randomUUID();
}

/** Listens, and says so to the process that started this one, by a line on standard output. */
export async function announce(server: Server, port: number): Promise<void> {
  await listenAt(server, port);
  const { port: taken } = server.address() as AddressInfo;
  console.log(JSON.stringify({ event: 'listening', port: taken } satisfies ListeningLine));
}

/**
 * Calls `stop` once: at the first signal, or when the process that started this one has ended, so that a child whose
 * parent was killed does not stay behind. A second signal of a kind ends this process at once.
 */
export function stopWithParent(stop: () => void): void {
  let isStopping = false;
  const stopOnce = (): void => {
    if (!isStopping) stop();
    isStopping = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stopOnce);
  whenOrphaned(stopOnce);
}
