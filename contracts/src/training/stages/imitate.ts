// Stage `imitate`: a text student learns the text vectors of a published checkpoint, from captions alone.
import * as z from 'zod';
import { count } from '../blocks.ts';
import { DistillConfig } from './distill.ts';
import { VocabularySettings } from './vocabulary.ts';

export const ImitateConfig = z
  .strictObject({
    stage: z.literal('imitate').describe('Name of the stage.'),
    checkpoint: z
      .string()
      .describe(
        'A published two-tower checkpoint: a folder of open_clip or transformers, or a name `open_clip:MODEL@PRETRAINED`. Of ' +
          "LLM2CLIP's layouts a folder or a file, whose adapter reads `features`.",
      ),
    captions: z
      .array(z.string())
      .min(1)
      .describe(
        'Files of texts to learn from, relative to the data folder: a caption a line, JSON lines with one of the usual keys ' +
          '(`caption`, `captions`, `text` and so on), or a table with such a column.',
      ),
    features: z
      .string()
      .nullable()
      .describe(
        'safetensors file, relative to the data folder, with `features` [N, D]: a row for each text of `captions`, in their ' +
          "order. D is the width of LLM2CLIP's adapter, or that of the joint space. null: the checkpoint's own text tower " +
          'computes the vectors.',
      ),
    most_captions: count.describe('Of more captions than this, as many are drawn.'),
    dev_captions: count.describe(
      'Captions that are measured on and not learned from; a tenth of all, where there are few.',
    ),
    student: VocabularySettings.extend(
      DistillConfig.omit({ stage: true, matryoshka_dims: true, image_weight: true, mix: true }).shape,
    )
      .describe(
        'The vocabulary, and the students as `distill` trains them: their vectors have the length of the joint space and are ' +
          'never cut.',
      )
      .meta({ title: 'ImitateStudent' }),
  })
  .meta({ title: 'ImitateConfig', description: 'Configuration of stage `imitate`.' });
export type ImitateConfig = z.infer<typeof ImitateConfig>;
