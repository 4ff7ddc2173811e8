// Recipes as files: resolves one that the user named, its data and what is in their folder; writes one that a command made.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { replaceFile } from '../../../contracts/command/replace-file.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { localFoldersOf } from '../../../contracts/src/stages.ts';
import { configOf, type Recipe, stagesOf } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { type DataIndex, dataFiles, indexData } from './data-index.ts';
import { type FolderIndex, indexOfFolder } from './file-digests.ts';
import { readRecipe } from './read.ts';
import { BASE, variantOf } from './variants.ts';

export interface ResolvedRecipe {
  recipe: Recipe;
  /** The folder that its data sources start from. */
  data: string;
}

export interface ResolveOptions {
  /** The folders in which a relative name is searched, in order; the last one is the trainer's, whose recipes have names. */
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
  const { recipe, dataFrom } = readRecipe(file, join(folders.at(-1) ?? dirname(file), 'recipes'));
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

/** The folders of this machine that the recipe, or a variant it is compared with, names, such as a language model's, by their path in it. */
export async function foldersOf(
  { recipe, data }: ResolvedRecipe,
  { trainer, runs, onRead }: FolderOptions,
): Promise<Map<string, FolderIndex>> {
  const found = new Map<string, FolderIndex>();
  for (const name of [BASE, ...comparedIn(recipe)]) {
    const varied = variantOf(recipe, name);
    const where = name === BASE ? '' : `variants.${name}.`;
    for (const stage of stagesOf(varied)) {
      for (const { path, from, sentence } of localFoldersOf(configOf(varied, stage))) {
        if (found.has(path)) continue;
        const folder = resolve(from === 'data' ? data : trainer, path);
        if (!existsSync(folder)) throw new UserError(`${where}${stage}.${sentence}, and there is no folder ${folder}`);
        found.set(path, await indexOfFolder(folder, { cache: cacheIn(runs), onRead }));
      }
    }
  }
  return found;
}

/** The data of each compared variant that names files which the recipe does not; `runs` as above. */
export async function indexVariants(
  { recipe, data }: ResolvedRecipe,
  runs: string,
  onRead: (bytes: number) => void,
): Promise<Map<string, DataIndex>> {
  const found = new Map<string, DataIndex>();
  const own = new Set(dataFiles(recipe, data).keys());
  for (const name of comparedIn(recipe)) {
    const varied = variantOf(recipe, name);
    if (filesOfVariant(name, varied, data).every((file) => own.has(file))) continue;
    found.set(name, await indexData(varied, data, { cache: cacheIn(runs), onRead }));
  }
  return found;
}

function filesOfVariant(name: string, varied: Recipe, data: string): string[] {
  try {
    return [...dataFiles(varied, data).keys()];
  } catch (error) {
    throw error instanceof UserError ? new UserError(`variants.${name}.${error.message}`) : error;
  }
}

const comparedIn = ({ compare }: Recipe): readonly string[] => compare?.variants ?? [];

function cacheIn(runs: string): string {
  return join(runs, 'data-digests.json');
}

function findRecipe(name: string, folders: readonly string[]): string {
  if (isAbsolute(name)) return name;
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found !== undefined) return found;
  const places = folders.map((folder) => join(folder, 'recipes')).filter((folder) => existsSync(folder));
  const names = new Set(places.flatMap((place) => readdirSync(place)).filter((file) => file.endsWith('.json')));
  const hint = names.size === 0 ? '' : `\nThere are: ${[...names].map((file) => `recipes/${file}`).join(', ')}`;
  throw new UserError(`there is no recipe ${name} in ${folders.join(' or ')}${hint}`);
}

/** Writes a recipe that a command made, whole or not at all; its folder is made where it is missing. */
export function writeRecipe(file: string, document: object): string {
  replaceFile(file, `${JSON.stringify(document, null, 2)}\n`);
  return file;
}

/** `path`, of what the user wrote as `given`. Throws a UserError where nothing is there. */
export function existing(path: string, given: string): string {
  if (!existsSync(path)) throw new UserError(`there is no ${given} (looked for ${path})`);
  return path;
}
