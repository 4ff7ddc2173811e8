// Asks Python how it reads the user's data: what can be used, what is left out and why, before anything is planned.
import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { z } from 'zod';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import type { AdaptConfig } from '../../../../contracts/src/training/stages/adapt.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';

const Inspection = z.object({
  train: z.number(),
  dev: z.number(),
  captions: z.number(),
  classes: z.array(z.string()),
  skipped: z.array(z.object({ key: z.string(), reason: z.string() })),
  summary: z.array(z.string()),
});
export type Inspection = z.infer<typeof Inspection>;

export interface InspectOptions {
  root: string;
  python: string;
  env: NodeJS.ProcessEnv;
  data: string;
  seed: number;
  adapt: Omit<AdaptConfig, 'stage'>;
  stop: AbortSignal;
}

/** Throws a UserError with the reader's sentence; undefined where it was stopped. */
export async function inspect(options: InspectOptions): Promise<Inspection | undefined> {
  const { root, python, env, data, seed, adapt, stop } = options;
  const trainer = join(root, 'trainer');
  const packages = [trainer, join(root, 'contracts', 'python')].join(delimiter);
  const request = JSON.stringify({ root: data, seed, own: adapt.own });
  const child = spawn(python, ['-W', 'ignore', '-m', 'towers.adaptation.inspect', request], {
    cwd: trainer,
    env: { ...env, PYTHONPATH: packages },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const end = (): void => void child.kill('SIGTERM');
  stop.addEventListener('abort', end);
  const [output, errors]: string[][] = [[], []];
  child.stdout.setEncoding('utf8').on('data', (text: string) => output?.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => errors?.push(text));
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', (error) => fail(new UserError(`cannot start ${python}: ${error.message}`)));
    child.once('close', done);
  });
  stop.removeEventListener('abort', end);
  if (stop.aborted) return undefined;
  const said = errors?.join('').trim() ?? '';
  if (code === EXIT.usage) throw new UserError(said);
  if (code !== EXIT.ok) throw new Error(`reading the data failed:\n${said}`);
  return Inspection.parse(JSON.parse(output?.join('') ?? ''));
}
