// Writes the short recipe of a fine-tuning: what it says beyond trainer/recipes/finetune.json, which it extends.
import { basename, dirname, join, relative, resolve } from 'node:path';
import { existing, writeRecipe } from '../../recipe/locate.ts';
import type { FinetuneOptions } from './options.ts';

export interface Places {
  /** The folder in which the user typed the command. */
  cwd: string;
  /** The folder of the model that is started from. */
  model: string;
  /** Where the recipe's runs are kept; the recipe is written there, too. */
  runs: string;
  /** Images of anything with captions, where they are on this machine. */
  generalImages: string | undefined;
}

export interface WrittenRecipes {
  recipe: string;
  /** What is in it. */
  document: object;
  /** Of the control, where one was asked for. */
  control: string | undefined;
}

/** Throws a UserError for a file that is not there. */
export function writeRecipes(options: FinetuneOptions, places: Places): WrittenRecipes {
  const folder = join(places.runs, options.name);
  const { name } = options;
  const document = { extends: 'finetune', ...documentOf(options, places) };
  const recipe = writeRecipe(join(folder, 'recipe.json'), document);
  if (!options.control) return { recipe, document, control: undefined };
  const control = writeRecipe(join(folder, 'control.json'), {
    extends: './recipe.json',
    name: `${name.slice(0, 56)}-control`,
    description: `The control of ${name}: a text side from random weights, trained with CLIP's loss.`,
    adapt: { name: `${name.slice(0, 56)}-control`, text_start: 'scratch' },
  });
  return { recipe, document, control };
}

/** Only what differs from the base. Paths of the data are relative to the folder that holds them. */
function documentOf(options: FinetuneOptions, { cwd, model, generalImages }: Places): Record<string, unknown> {
  const data = existing(resolve(cwd, options.data), options.data);
  const root = dirname(data);
  const below = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : relative(root, existing(resolve(cwd, path), path));
  return {
    name: options.name,
    description: `${basename(data)} taught to the model in ${model}.`,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    data: root,
    adapt: withoutUndefined({
      model,
      name: options.name,
      version: options.version,
      space: options.space,
      minutes: options.minutes,
      general_images: generalImages,
      schedule:
        options.steps === undefined
          ? undefined
          : { steps: options.steps, warmup_steps: Math.min(20, Math.floor(options.steps / 10)) },
      own: withoutUndefined({
        path: basename(data),
        dev_path: below(options.dev),
        dev_share: options.devShare,
        classes: below(options.classes),
        further_captions: below(options.augment),
        image_column: options.columns.image_column ?? undefined,
        caption_columns: options.columns.caption_columns ?? undefined,
        class_column: options.columns.class_column ?? undefined,
      }),
    }),
  };
}

function withoutUndefined(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
