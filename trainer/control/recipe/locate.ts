// Recipes as files: resolves one that the user named, its data and what is in their folder; writes one that a command made.
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { localFoldersOf } from '../../../contracts/src/stages.ts';
import { configOf, type Recipe, stagesOf } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { type DataIndex, indexData } from './data-index.ts';
import { type FolderIndex, indexOfFolder } from './file-digests.ts';
import { readRecipe } from './read.ts';

export interface ResolvedRecipe {
  recipe: Recipe;
  /** The folder that its data sources start from. */
  data: string;
}

export interface ResolveOptions {
  /** The folders in which a relative name is searched, in order. */
  folders: readonly string[];
  /** The folder in which the user typed the command. */
  cwd: string;
  env: NodeJS.ProcessEnv;
}

/**
 * Finds and reads a recipe. Throws a UserError that lists the recipes there are. The variable names the folder of the project's
 * data, so that it takes the place of a relative one; an absolute one is of images that a person named.
 */
export function resolveRecipe(name: string, { folders, cwd, env }: ResolveOptions): ResolvedRecipe {
  const file = findRecipe(name, folders);
  const { recipe, dataFrom } = readRecipe(file, recipesIn(folders) ?? dirname(file));
  const override = env[ENVARS.data] ?? '';
  const isOwn = override === '' || isAbsolute(recipe.data);
  return { recipe, data: isOwn ? resolve(dirname(dataFrom), recipe.data) : resolve(cwd, override) };
}

/** Digests of the recipe's data; `runs` keeps what is known of unchanged files. */
export function indexOf(
  { recipe, data }: ResolvedRecipe,
  runs: string,
  onRead: (bytes: number) => void,
): Promise<DataIndex> {
  return indexData(recipe, data, { cache: cacheIn(runs), onRead });
}

/** All files of a folder under one digest; `runs` as above. */
export function indexFolder(folder: string, runs: string, onRead: (bytes: number) => void): Promise<FolderIndex> {
  return indexOfFolder(folder, { cache: cacheIn(runs), onRead });
}

export interface FolderOptions {
  /** The stages' working directory, which relative paths start from. */
  trainer: string;
  runs: string;
  onRead(bytes: number): void;
}

/** The folders of this machine that the recipe names, such as a language model's, by their path in it. */
export async function foldersOf(
  { recipe, data }: ResolvedRecipe,
  { trainer, runs, onRead }: FolderOptions,
): Promise<Map<string, FolderIndex>> {
  const found = new Map<string, FolderIndex>();
  for (const stage of stagesOf(recipe)) {
    for (const { path, from, sentence } of localFoldersOf(configOf(recipe, stage))) {
      if (found.has(path)) continue;
      const folder = resolve(from === 'data' ? data : trainer, path);
      if (!existsSync(folder)) throw new UserError(`${stage}.${sentence}, and there is no folder ${folder}`);
      found.set(path, await indexOfFolder(folder, { cache: cacheIn(runs), onRead }));
    }
  }
  return found;
}

function cacheIn(runs: string): string {
  return join(runs, 'data-digests.json');
}

function findRecipe(name: string, folders: readonly string[]): string {
  if (isAbsolute(name)) return name;
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found !== undefined) return found;
  const recipes = recipesIn(folders);
  const names = recipes === undefined ? [] : readdirSync(recipes).filter((file) => file.endsWith('.json'));
  const hint = names.length === 0 ? '' : `\nThere are: ${names.map((file) => `recipes/${file}`).join(', ')}`;
  throw new UserError(`there is no recipe ${name} in ${folders.join(' or ')}${hint}`);
}

function recipesIn(folders: readonly string[]): string | undefined {
  return folders.map((folder) => join(folder, 'recipes')).find((folder) => existsSync(folder));
}

/** Writes a recipe that a command made, whole or not at all; its folder is made where it is missing. */
export function writeRecipe(file: string, document: object): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.tmp`, `${JSON.stringify(document, null, 2)}\n`);
  renameSync(`${file}.tmp`, file);
  return file;
}

/** `path`, of what the user wrote as `given`. Throws a UserError where nothing is there. */
export function existing(path: string, given: string): string {
  if (!existsSync(path)) throw new UserError(`there is no ${given} (looked for ${path})`);
  return path;
}
