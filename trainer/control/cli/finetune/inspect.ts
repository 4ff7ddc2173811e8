// Asks Python how it reads the user's data: what can be used, what is left out and why, before anything is planned.
import { z } from 'zod';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import type { AdaptConfig } from '../../../../contracts/src/training/stages/adapt.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { exitOf, startModule } from '../../local/python-module.ts';
import { packagesIn } from '../python.ts';

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
  const request = JSON.stringify({ root: data, seed, own: adapt.own });
  const args = ['-W', 'ignore', '-m', 'towers.adaptation.inspect', request];
  const child = startModule({ python, args, ...packagesIn(root), env });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const code = await exitOf(child, { python, stop });
  if (stop.aborted) return undefined;
  const said = errors.trim();
  if (code === EXIT.usage) throw new UserError(said);
  if (code !== EXIT.ok) throw new Error(`reading the data failed:\n${said}`);
  return Inspection.parse(JSON.parse(output));
}
