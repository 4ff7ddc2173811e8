// Stage `evaluate`: figures of the exported model and of the comparison, with confidence intervals.
import { z } from 'zod';
import { count } from './blocks.ts';

export const EvaluateConfig = z
  .strictObject({
    stage: z.literal('evaluate').describe('Name of the stage.'),
    bootstrap_samples: count.describe('Resamples behind each confidence interval.'),
  })
  .meta({ title: 'EvaluateConfig', description: 'Configuration of stage `evaluate`.' });
