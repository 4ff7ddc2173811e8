// A server of this machine whose failures are answers: nothing that it meets ends the process it runs in.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { reasonOf } from '../../contracts/src/user-error.ts';

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
