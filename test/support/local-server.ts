// Starts what `npm start` starts, for tests: the Worker in workerd and the image encoder beside it, on free ports.
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { type Local, type LocalOptions, startLocal } from '../../api/dev/local.ts';

export type LocalServer = Local;

/** Without `registry` the Worker has no bucket and both serve `model` permanently. */
export function startLocalServer(options: Partial<LocalOptions> = {}): Promise<LocalServer> {
  return startLocal({ model: EMBEDDED_MODEL, port: 0, ...options });
}
