// The process of a command as the command sees it: folders, environment, output, and where things are that no option names.
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ObjectStore } from '../../../api/registry/store.ts';
import { fromFileUri, toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { openRegistry } from '../../../api/registry/stores/open.ts';
import { usersFolder } from '../../../contracts/command/users-folder.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

export interface CommandContext {
  /** The repository. */
  root: string;
  /** The folder in which the user typed the command. */
  cwd: string;
  env: NodeJS.ProcessEnv;
  stdout: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  stderr: { write(text: string): unknown };
}

/** Of this process. */
export function processContext(env: NodeJS.ProcessEnv): CommandContext {
  const { stdout, stderr } = process;
  const root = resolve(import.meta.dirname, '../../..');
  return { root, cwd: usersFolder(), env, stdout, stderr };
}

type Folders = Pick<CommandContext, 'root' | 'cwd'>;

/** The model that the repository carries: what is measured, adapted and exported where no other is named. */
export const embeddedModel = ({ root }: Pick<Folders, 'root'>): string => join(root, 'api', 'model');

/** Where runs are kept: --runs, or the repository's own folder. */
export const runsFolder = ({ runs }: { runs?: string | undefined }, { root, cwd }: Folders): string =>
  resolve(cwd, runs ?? join(root, 'runs'));

/** What is measured on: --data, the variable, or the folder beside the repository. */
export const dataFolder = (
  { data }: { data?: string | undefined },
  { root, cwd, env }: Folders & Pick<CommandContext, 'env'>,
): string => resolve(cwd, data ?? (env[ENVARS.data] || join(root, '..', 'shared', 'data')));

/** Where vectors of what was measured are kept: --cache, or the repository's own folder. */
export const vectorsFolder = ({ cache }: { cache?: string | undefined }, { root, cwd }: Folders): string =>
  resolve(cwd, cache ?? join(root, 'runs', 'evaluation-vectors'));

/** The registry that --registry or the variable names, by its URI or its folder; otherwise the repository's own. */
export function openRegistryOf(
  { registry }: { registry?: string | undefined },
  { root, cwd, env }: Folders & Pick<CommandContext, 'env'>,
): ObjectStore {
  const place = registry || env[ENVARS.registry] || join(root, 'registry');
  const uri = place.includes('://') ? place : toFileUri(resolve(cwd, place));
  const folder = fromFileUri(uri);
  if (folder !== undefined && statSync(folder, { throwIfNoEntry: false })?.isFile())
    throw new UserError(`the registry ${uri} is a file: name a folder, which need not be there yet, or s3://BUCKET`);
  return openRegistry(uri, env);
}
