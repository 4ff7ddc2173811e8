// Servers of this machine: where they listen, and that whatever fails in one is an answer and not the end of its process.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { reasonOf, UserError } from '../../contracts/src/user-error.ts';

export const HOST = '127.0.0.1';

/** Asks for the port itself: workerd's own message names neither the port nor what to do. */
export async function freePort(wanted: number): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createSocket();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'is taken' : `cannot be used (${error.code})`;
      fail(new UserError(`port ${wanted} ${reason}; choose another: PORT=8788 npm start`));
    });
    probe.listen(wanted, HOST, () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address ? address.port : wanted));
    });
  });
}

type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;

/** What fails is told, as a 500 where nothing else is said, and is the end of the connection where the answer had begun. */
export function answering(answer: Answer, tell = tellPlainly): Server {
  return createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else tell(response, reasonOf(error));
    });
  });
}

function tellPlainly(response: ServerResponse, reason: string): void {
  response.writeHead(500, { 'content-type': 'text/plain' }).end(reason);
}
