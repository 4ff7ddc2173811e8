// Reads a recipe file and the recipes that it extends, and merges them.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { isObject, type JsonObject, mergeObjects, valueAt, withoutRemoved } from './merge.ts';

/** One recipe file as it is written. */
export interface Layer {
  file: string;
  document: JsonObject;
}

/** What a recipe says of itself alone: its runs and its request are kept under its name. */
const OWN = ['name', 'description'] as const;

/**
 * A recipe file and what it extends, the furthest base first. `extends` is a path relative to the file that says it, also
 * without `.json`, or the name of a recipe in `named`, which is `trainer/recipes`. Throws a UserError for a circle or a file that is not there.
 */
export function readLayers(file: string, named: string): Layer[] {
  const layers: Layer[] = [];
  const chain: string[] = [];
  for (let next: string | undefined = resolve(file); next !== undefined; ) {
    if (chain.includes(next))
      throw new UserError(`${chain[0]} extends itself: ${[...chain, next].map((one) => basename(one)).join(' -> ')}`);
    chain.push(next);
    const { extends: base, ...document } = readObject(next);
    layers.unshift({ file: next, document });
    next = base === undefined ? undefined : baseFile(base, next, named);
  }
  const [own] = layers.slice(-1);
  const absent = OWN.filter((key) => own?.document[key] === undefined);
  if (own !== undefined && layers.length > 1 && absent.length > 0)
    throw new UserError(
      `${own.file} says no ${absent.join(' and no ')}: a recipe that extends another one has its own, because its runs are kept under its name`,
    );
  return layers;
}

/** The layers as one document, without the nulls that remove something. */
export function mergeLayers(layers: readonly Layer[]): JsonObject {
  return withoutRemoved(layers.map(({ document }) => document).reduce(mergeObjects, {}), Recipe);
}

/** The file whose words count at a path: the last one that says something there. Undefined where none does. */
export function fileOf(layers: readonly Layer[], path: readonly PropertyKey[]): string | undefined {
  return layers.findLast(({ document }) => valueAt(document, path) !== undefined)?.file;
}

function readObject(file: string): JsonObject {
  if (!existsSync(file)) throw new UserError(`there is no recipe ${file}`);
  if (statSync(file).isDirectory()) throw new UserError(`${file} is a folder: a recipe is a JSON file`);
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserError(`${file} is not JSON: ${error.message}`);
    throw error;
  }
  if (!isObject(document)) throw new UserError(`${file} is not a JSON object: a recipe is one`);
  return document;
}

function baseFile(base: unknown, from: string, named: string): string {
  if (typeof base !== 'string' || base === '')
    throw new UserError(`${from}: extends is the path or the name of one recipe, not ${JSON.stringify(base)}`);
  const places = [resolve(dirname(from), base), join(named, base)].flatMap((place) => [place, `${place}.json`]);
  const found = places.find((place) => existsSync(place) && place.endsWith('.json'));
  if (found !== undefined) return found;
  const looked = [...new Set(places.filter((place) => place.endsWith('.json')))].map((place) => relative('', place));
  const names = existsSync(named) ? readdirSync(named).filter((name) => name.endsWith('.json')) : [];
  const known = names.length === 0 ? '' : `. There are ${names.map((name) => basename(name, '.json')).join(', ')}`;
  throw new UserError(`${from}: extends ${JSON.stringify(base)}, but there is no ${looked.join(' and no ')}${known}`);
}
