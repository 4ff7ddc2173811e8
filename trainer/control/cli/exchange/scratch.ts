// A folder for what a command fetches or writes on its way, which is gone with the command.
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `work` with an empty folder, whose path is whole because Python runs elsewhere. It is removed afterwards, and where a signal ends
 * the command while nothing else listens for one: a model is fetched or published then, which may take minutes.
 */
export async function withScratch<T>(prefix: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), prefix)));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const onSignal = (name: NodeJS.Signals): void => {
    if (process.listenerCount(name) > 1) return;
    remove();
    process.exit(EXIT.interrupted);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work(folder);
  } finally {
    for (const name of SIGNALS) process.removeListener(name, onSignal);
    remove();
  }
}
