// Reads a recipe file and the recipes that it extends, and merges them: objects deeply, lists and values replaced.
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

export type JsonObject = Record<string, unknown>;

/** One recipe file as it is written. */
export interface Layer {
  file: string;
  document: JsonObject;
}

/** What a recipe says of itself alone: its runs and its request are kept under its name. */
const OWN = ['name', 'description'] as const;

/**
 * A recipe file and what it extends, the furthest base first. `extends` is a path relative to the file that says it, or
 * the name of a recipe in `named`, which is `trainer/recipes`. Throws a UserError for a circle or a file that is not there.
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

/** Members of both, those of `over` on top: objects are merged, everything else is replaced. */
export function mergeObjects(base: JsonObject, over: JsonObject): JsonObject {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(base, key) ? base[key] : undefined;
    merged[key] = isObject(value) ? mergeObjects(isObject(below) ? below : {}, value) : value;
  }
  return merged;
}

/** Takes out members that are null where the contract knows no null: `"mntp": null` is a recipe without that block. */
export function withoutRemoved(document: JsonObject, schema: unknown): JsonObject {
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(document)) {
    const member = memberSchema(schema, key);
    if (value === null && member instanceof z.ZodType && !member.safeParse(null).success) continue;
    kept[key] = isObject(value) ? withoutRemoved(value, member) : value;
  }
  return kept;
}

/** The file whose words count at a path: the last one that says something there. Undefined where none does. */
export function fileOf(layers: readonly Layer[], path: readonly PropertyKey[]): string | undefined {
  return layers.findLast(({ document }) => valueAt(document, path) !== undefined)?.file;
}

/** The value at a path; undefined where there is none. */
export function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  let value = document;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value;
}

/** The contract of a member of an object, a list or a record; undefined where it has none. */
export function memberSchema(schema: unknown, key: PropertyKey): unknown {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable) inner = inner.unwrap();
  if (inner instanceof z.ZodObject) return inner.shape[String(key)];
  if (inner instanceof z.ZodArray) return inner.element;
  return inner instanceof z.ZodRecord ? inner.valueType : undefined;
}

function readObject(file: string): JsonObject {
  if (!existsSync(file)) throw new UserError(`there is no recipe ${file}`);
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(file, 'utf8'));
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
  const places = [resolve(dirname(from), base), join(named, base), join(named, `${base}.json`)];
  const found = places.find((place) => existsSync(place) && place.endsWith('.json'));
  if (found !== undefined) return found;
  const looked = [...new Set(places.filter((place) => place.endsWith('.json')))].map((place) => relative('', place));
  throw new UserError(`${from}: extends ${JSON.stringify(base)}, but there is neither ${looked.join(' nor ')}`);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
