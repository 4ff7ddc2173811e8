// Reads a recipe with what it extends, or lists everything that is wrong with it: where, what, and what is allowed.
import { basename } from 'node:path';
import type { z } from 'zod';
import { Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { contradictions } from './checks/contradictions.ts';
import { fileOf, type Layer, mergeLayers, readLayers } from './layers.ts';
import { sentenceOf } from './sentences.ts';

export interface ReadRecipe {
  recipe: Recipe;
  /** The file whose `data` counts: the folder is relative to it. */
  dataFrom: string;
}

/** Reads and checks a recipe; `named`: the folder of recipes that are extended by name. Throws a UserError with one line per problem. */
export function readRecipe(file: string, named: string): ReadRecipe {
  const layers = readLayers(file, named);
  const document = mergeLayers(layers);
  const result = Recipe.safeParse(document);
  const problems = result.success
    ? contradictions(result.data)
    : result.error.issues.map((issue) => `${sentenceOf(issue, document, Recipe)}${origin(issue, layers)}`);
  if (!result.success || problems.length > 0) {
    throw new UserError(
      `${file} has ${problems.length} problem${problems.length === 1 ? '' : 's'}:\n  ${problems.join('\n  ')}`,
    );
  }
  return { recipe: result.data, dataFrom: fileOf(layers, ['data']) ?? file };
}

/** The recipe in which a fault stands, where that is not the one that was asked for. */
function origin(issue: z.core.$ZodIssue, layers: readonly Layer[]): string {
  const key = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const file = fileOf(layers, [...issue.path, ...key]);
  return file === undefined || file === layers.at(-1)?.file ? '' : ` (in ${basename(file)})`;
}
