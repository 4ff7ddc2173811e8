// Records in a file what a deployment has done: an interrupted one goes on with the step after the last that was finished.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../../contracts/command/replace-file.ts';
import { jsonIn } from '../../contracts/src/json.ts';
import { UserError } from '../../contracts/src/user-error.ts';

const Finished = z.strictObject({
  /** Digest over what the step was done from: the same again, and there is nothing to do. */
  from: z.string(),
  finished_at: z.iso.datetime(),
  seconds: z.number(),
  /** What later steps need of it. */
  values: z.record(z.string(), z.string()),
  /** What the account showed of it afterwards: another checkout may have changed it since. */
  left: z.string().optional(),
});
export type Finished = z.infer<typeof Finished>;

const State = z.strictObject({
  environment: z.string(),
  /** AWS account and region: another one is another deployment. */
  account: z.string(),
  region: z.string(),
  steps: z.record(z.string(), Finished),
});
export type State = z.infer<typeof State>;

/** The folder of a deployment's state and logs, in one that git ignores. */
export const stateFolder = (root: string, environment: string): string => join(root, 'build', 'deploy', environment);

const fileOf = (root: string, environment: string): string => join(stateFolder(root, environment), 'state.json');

/** The state of the environment; undefined where nothing was deployed from this checkout. */
export function readState(root: string, environment: string): State | undefined {
  const file = fileOf(root, environment);
  if (!existsSync(file)) return undefined;
  const parsed = State.safeParse(jsonIn(readFileSync(file, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new UserError(`${file} is not a state of this version: delete it, and every step is looked at again`);
}

export function writeState(root: string, state: State): void {
  replaceFile(fileOf(root, state.environment), `${JSON.stringify(state, undefined, 2)}\n`);
}

export function removeState(root: string, environment: string): void {
  rmSync(fileOf(root, environment), { force: true });
}
