// Stage `evaluate`: figures of the exported model.
import * as z from 'zod';
import { DevSetName } from '../../data/dev-sets.ts';

export const EvaluateConfig = z
  .strictObject({
    stage: z.literal('evaluate').describe('Name of the stage.'),
    dev_sets: z
      .array(DevSetName)
      .optional()
      .describe(
        'Sets that the exported model is measured on beside the dev split of `prepare`; `npm run evaluate -- --list` says what ' +
          'they are. Their files are in the data folder. Absent: none.',
      ),
  })
  .meta({ title: 'EvaluateConfig', description: 'Configuration of stage `evaluate`.' });
