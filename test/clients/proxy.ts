// A proxy before the service that keeps what clients sent and what they got, and is busy where a case wants that.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errorDocument } from '../../api/core/error-document.ts';
import { CoreError } from '../../api/core/errors.ts';

export interface Exchange {
  method: string;
  path: string;
  authorization: string | undefined;
  /** Of a body of JSON. */
  body: Record<string, unknown> | undefined;
  status: number;
  reply: string;
  /** When the request was read, in milliseconds of this process. */
  at: number;
}

export interface RecordingProxy {
  url: string;
  /** Forgets what was seen; `isBusy`: the next POST is told to come back after a second. */
  reset(options: { isBusy: boolean }): void;
  seen(): Exchange[];
  stop(): Promise<void>;
}

export async function startProxy(target: string): Promise<RecordingProxy> {
  let exchanges: Exchange[] = [];
  let isBusy = false;
  const server = createServer((incoming, response) => {
    void answer(incoming, response).catch((error: unknown) => response.destroy(error as Error));
  });
  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = 'GET', url: path = '/', headers } = incoming;
    const sent = await textOf(incoming);
    const at = performance.now();
    const isTold = isBusy && method === 'POST';
    if (isTold) isBusy = false;
    const {
      status,
      headers: got,
      reply,
    } = isTold ? busy() : await forward(`${target}${path}`, { method, headers, body: sent });
    exchanges.push({ method, path, authorization: headers.authorization, body: jsonOf(sent), status, reply, at });
    response.writeHead(status, got);
    response.end(reply);
  };
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reset(options) {
      exchanges = [];
      isBusy = options.isBusy;
    },
    seen: () => exchanges,
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

interface Reply {
  status: number;
  headers: Record<string, string>;
  reply: string;
}

/** The service's own refusal, but for the form of its door: a client that waits does not read it. */
function busy(): Reply {
  const error = new CoreError('overloaded', 'All places are taken; try again in a second.', { retryAfterSeconds: 1 });
  const { status, headers, body } = errorDocument(error, 'busy');
  return { status, headers, reply: JSON.stringify(body) };
}

function forward(
  url: string,
  { method, headers, body }: { method: string; headers: IncomingMessage['headers']; body: string },
): Promise<Reply> {
  const { host: _, 'accept-encoding': __, connection: ___, 'transfer-encoding': ____, ...kept } = headers;
  const length = { 'content-length': String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers: { ...kept, ...length } }, (incoming) => {
      const { statusCode = 0, headers: got } = incoming;
      textOf(incoming).then(
        (reply) => resolve({ status: statusCode, headers: { 'content-type': got['content-type'] ?? '' }, reply }),
        (error: unknown) => reject(error),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function jsonOf(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
