// Variants of a recipe: named changes in the form in which one recipe extends another. Pure.
import { Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { type JsonObject, mergeObjects, withoutRemoved } from './merge.ts';

/** The recipe itself among its variants. */
export const BASE = 'base';

/** The document of a variant, before it is held against the contract: the recipe with the variant's members on top. */
export function variedDocument(recipe: Recipe, name: string): JsonObject {
  const { variants, compare, ...rest } = recipe;
  return withoutRemoved(mergeObjects(rest, variants?.[name] ?? {}), Recipe);
}

/** A variant of a recipe that was read and checked; `base` is the recipe. */
export function variantOf(recipe: Recipe, name: string): Recipe {
  return name === BASE ? recipe : Recipe.parse(variedDocument(recipe, name));
}

export interface Ablation {
  /** `all`, or names of variants. */
  variants: readonly string[];
  seeds?: readonly number[] | undefined;
  /** Another stage, and other figures of it, than the recipe compares by. */
  at?: string | undefined;
  metrics?: readonly string[] | undefined;
}

/** The recipe with these variants in its comparison. Throws a UserError that lists the variants there are. */
export function withAblation(recipe: Recipe, { variants, ...other }: Ablation): Recipe {
  const known = Object.keys(recipe.variants ?? {});
  const chosen = variants.includes('all') ? known : [...new Set(variants)];
  const unknown = chosen.filter((name) => !known.includes(name));
  if (unknown.length > 0 || chosen.length === 0)
    throw new UserError(
      `recipe ${recipe.name} has no variant ${unknown.join(', ')}; ${known.length === 0 ? 'it has none' : `there are ${known.join(', ')}`}`,
    );
  if (recipe.compare === undefined)
    throw new UserError(
      `recipe ${recipe.name} has no block compare, which says at which stage and by which figures variants are compared`,
    );
  const { seeds = recipe.compare.seeds, at = recipe.compare.at, metrics = recipe.compare.metrics } = other;
  return { ...recipe, compare: { ...recipe.compare, variants: chosen, seeds: [...seeds], at, metrics: [...metrics] } };
}
