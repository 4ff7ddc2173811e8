// A training recipe: hyper-parameters as data, one strict block per stage it runs. Nothing has a default: a recipe says
// everything, itself or by the recipe that it extends.
import * as z from 'zod';
import { type JobClass, JobClassName } from '../job-classes.ts';
import { RecipeName, VariantName } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { inputsRead, jobClassOf, STAGE_NAMES, StageConfig, StageName } from '../stages.ts';
import { type DATA, STAGES } from './stages/table.ts';

type Block<Config> =
  Config extends z.ZodObject<infer Shape> ? z.ZodObject<Omit<Shape, 'stage'>, z.core.$strict> : never;
type Blocks = { [Name in StageName]: z.ZodOptional<Block<(typeof STAGES)[Name]['config']>> };

/** Every stage's block without its name, which is the key it stands under. Any may be absent. */
function blocks(): Blocks {
  return Object.fromEntries(
    STAGE_NAMES.map((name) => {
      const { stage: _, ...shape } = STAGES[name].config.shape;
      return [name, z.strictObject(shape).describe(`Configuration of stage \`${name}\`.`).optional()];
    }),
  ) as unknown as Blocks;
}

/** A recipe after it was read: whole, with what it `extends` merged in. It runs the stages whose blocks it has. */
export const Recipe = z
  .strictObject({
    schema_version: SchemaVersion,
    name: RecipeName.describe('Name of the recipe: folder of its runs and key of its last request.'),
    description: z.string().describe('What it is for, in a sentence.'),
    seed: z.int().nonnegative().describe('Seed of every stage.'),
    data: z
      .string()
      .describe(
        'Folder that the paths of `prepare`, `adapt` and `imitate` start from: relative to the recipe file, where CLIP_DATA overrides it, or absolute.',
      ),
    data_source: z
      .string()
      .optional()
      .describe('Where those files come from, in a sentence, for whoever lacks one; absent: the user knows.'),
    job_classes: z
      .partialRecord(StageName, JobClassName)
      .optional()
      .describe(
        'By stage, the job class that it runs in on AWS where that is not its own: how many GPUs and machines. The result is ' +
          'the same up to summation order, so it is no part of a content address. Only stages that several processes can ' +
          'train take classes with several GPUs.',
      ),
    job_arrays: z
      .strictObject({
        prepare: z
          .int()
          .min(1)
          .max(10_000)
          .optional()
          .describe('Containers that share the elements of `prepare`; 1: one job. Absent: by the bytes of its tars.'),
      })
      .optional()
      .describe(
        'By stage, the size of the AWS Batch array job that does its elements before the stage joins them. The result is the same, so ' +
          'it is no part of a content address, and on this machine it means nothing. Absent: derived.',
      ),
    ...blocks(),
    variants: z
      .record(VariantName, z.partialRecord(StageName, z.record(z.string(), z.unknown()).nullable()))
      .optional()
      .describe('Changes by name, in the form of a recipe that extends this one: what `compare` compares.'),
  })
  .meta({
    title: 'Recipe',
    description: 'A training recipe: what every stage is configured with. A stage without a block does not run.',
  });
export type Recipe = z.infer<typeof Recipe>;

/** The stages that a recipe runs, in order. */
export function stagesOf(recipe: Recipe): StageName[] {
  return STAGE_NAMES.filter((stage) => recipe[stage] !== undefined);
}

/** The job class that a stage of the recipe runs in on AWS. */
export function jobClassIn(recipe: Recipe, stage: StageName): JobClass {
  return recipe.job_classes?.[stage] ?? jobClassOf(stage);
}

/** The recipe's block of one of its stages with the name of the stage, as a job carries it. */
export function configOf(recipe: Recipe, stage: StageName): StageConfig {
  return StageConfig.parse({ stage, ...recipe[stage] });
}

/** What the recipe's job of that stage reads, in the order of the table of stages. */
export function inputsIn(recipe: Recipe, stage: StageName): readonly (StageName | typeof DATA)[] {
  return inputsRead(configOf(recipe, stage), (input) => recipe[input] !== undefined);
}
