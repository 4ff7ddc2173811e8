// A training recipe: hyper-parameters as data, one strict block per stage. Nothing has a default: a recipe says everything.
import { z } from 'zod';
import { RecipeName } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { STAGE_NAMES, STAGES, StageConfig, type StageName } from '../stages.ts';

type Block<Config> =
  Config extends z.ZodObject<infer Shape> ? z.ZodObject<Omit<Shape, 'stage'>, z.core.$strict> : never;
type Blocks = { [Name in StageName]: Block<(typeof STAGES)[Name]['config']> };

/** Every stage's block without its name, which is the key it stands under. */
function blocks(): Blocks {
  return Object.fromEntries(
    STAGE_NAMES.map((name) => {
      const { stage: _, ...shape } = STAGES[name].config.shape;
      return [name, z.strictObject(shape).describe(`Configuration of stage \`${name}\`.`)];
    }),
  ) as Blocks;
}

/** What a person writes. */
export const Recipe = z
  .strictObject({
    schema_version: SchemaVersion,
    name: RecipeName.describe('Name of the recipe: folder of its runs and key of its last request.'),
    description: z.string().describe('What it is for, in a sentence.'),
    seed: z.int().nonnegative().describe('Seed of every stage.'),
    data: z
      .string()
      .describe('Folder that the sources of `prepare` start from: relative to the recipe file, or set by CLIP_DATA.'),
    ...blocks(),
    comparison: z
      .strictObject({ seeds: z.array(z.int().nonnegative()).describe('Seeds of the runs; empty: no comparison.') })
      .describe("Further runs of `clip`: for every seed with both text towers. The report's table compares them."),
  })
  .meta({ title: 'Recipe', description: 'A training recipe: what every stage is configured with.' });
export type Recipe = z.infer<typeof Recipe>;

/** The recipe's block of one stage with the name of the stage, as a job carries it. */
export function configOf(recipe: Recipe, stage: StageName): StageConfig {
  return StageConfig.parse({ stage, ...recipe[stage] });
}
