// Stage `compare`: variants of a recipe against the recipe itself, at equal seeds, with paired intervals.
import * as z from 'zod';
import { VariantName } from '../../names.ts';
import { count } from '../blocks.ts';

export const CompareConfig = z
  .strictObject({
    stage: z.literal('compare').describe('Name of the stage.'),
    variants: z.array(VariantName).describe('The variants of the recipe that are compared with it.'),
    seeds: z
      .array(z.int().nonnegative())
      .min(1)
      .describe('Seeds of the runs: every variant and the recipe run with each.'),
    seeded_from: z
      .string()
      .describe(
        'The first stage that runs with those seeds; stages that do not build on it run once, with the seed of the recipe.',
      ),
    at: z.string().describe('The stage whose figures are compared: every run goes up to it and no further.'),
    metrics: z.array(z.string()).min(1).describe('Names of the figures, as the reports of that stage have them.'),
    bootstrap_samples: count.describe('Resamples behind each confidence interval.'),
  })
  .meta({ title: 'CompareConfig', description: 'Configuration of stage `compare`.' });
