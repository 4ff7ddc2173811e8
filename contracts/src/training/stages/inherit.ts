// Stage `inherit`: an adapter maps texts to where the frozen image tower already puts what they describe.
import * as z from 'zod';
import { Adapter, Backbone, count, Schedule, weight } from '../blocks.ts';

export const InheritConfig = z
  .strictObject({
    stage: z.literal('inherit').describe('Name of the stage.'),
    backbone: Backbone,
    adapter: Adapter,
    adapter_from: z
      .string()
      .optional()
      .describe(
        'A published adapter of LLM2CLIP to start from, of the same shape: a folder of its released models, or a file of ' +
          'weights. Absent: a new one.',
      ),
    embed_dim: count.describe('Dimensions of the joint space.'),
    target: z
      .enum(['classifier_rows', 'clip_text', 'features'])
      .describe(
        "`classifier_rows`: class prompts onto the rows of the backbone's classifier. `clip_text`: captions onto the " +
          "vectors of the tower's own text encoder. `features`: captions onto the features of their own pictures, for a " +
          'tower that has neither.',
      ),
    struct_weight: weight.describe('Weight of the loss on distances between texts, beside the loss on the vectors.'),
    batch_size: count.describe('Texts per step.'),
    schedule: Schedule,
  })
  .meta({ title: 'InheritConfig', description: 'Configuration of stage `inherit`.' });
