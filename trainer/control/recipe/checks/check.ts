// The parts of a check of a recipe. Pure.
import type { StageName } from '../../../../contracts/src/stages.ts';
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';

/** A sentence for each problem that a recipe has. */
export type Check = (recipe: Recipe) => string[];
export type With<Name extends StageName> = Recipe & { [Key in Name]: NonNullable<Recipe[Key]> };

/** A check of recipes that have these blocks. */
export function where<const Name extends StageName>(
  blocks: readonly Name[],
  problemsOf: (recipe: With<Name>) => string[],
): Check {
  return function ofRecipesWithThem(recipe) {
    return blocks.every((name) => recipe[name] !== undefined) ? problemsOf(recipe as With<Name>) : [];
  };
}

/** The sentence, unless something holds. */
export function unless(holds: boolean, sentence: string): string[] {
  return holds ? [] : [sentence];
}
