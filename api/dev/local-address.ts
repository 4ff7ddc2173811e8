// Where the local servers listen.
import { createServer } from 'node:net';
import { UserError } from '../../contracts/src/user-error.ts';

export const HOST = '127.0.0.1';

/** Asks for the port itself: workerd's own message names neither the port nor what to do. */
export async function freePort(wanted: number): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
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
