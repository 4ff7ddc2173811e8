// Stage `contrastive`: the language model learns that captions of one image belong together.
import * as z from 'zod';
import { count, fraction, LanguageModel, Lora, Parallel, Pooling, packing, SavedModel, Schedule } from '../blocks.ts';

export const ContrastiveConfig = z
  .strictObject({
    stage: z.literal('contrastive').describe('Name of the stage.'),
    language_model: LanguageModel.optional().describe(
      'In a recipe without `mntp`, and only there: the language model to start from.',
    ),
    lora: Lora,
    temperature: z.number().positive().describe('Cosines are divided by it before the softmax.'),
    batch_size: count.describe('Groups per step; every group gives two texts.'),
    concept_fraction: fraction.describe(
      'Fraction of the groups of a step that are concepts (two of names, prompts, gloss, hypernym, descriptions) and ' +
        'labels of pictures; the rest are captions of one image. Without concepts in the data, all are captions.',
    ),
    document_fraction: fraction
      .optional()
      .describe(
        'Fraction of the groups of a step that are two halves of a passage of a plain document. Without documents in the ' +
          'data there are none. Absent: 0.',
      ),
    long_fraction: fraction
      .optional()
      .describe(
        'Fraction of the groups of a step that are two halves of a long description; 0 leaves them out. Without long ' +
          'descriptions in the data there are none. Absent: they are drawn among the captions, as often as any other group.',
      ),
    micro_batch: count.describe('Captions that GradCache embeds at a time: bounds the memory, not the result.'),
    gradient_cache: z
      .boolean()
      .optional()
      .describe(
        'False: the whole step is kept in memory instead of being computed twice, a third faster for some GiB. ' +
          'The gradient is the same. Absent: true.',
      ),
    max_tokens: count.describe('Tokens of a caption that are read.'),
    pooling: Pooling,
    packing: packing.optional(),
    parallel: Parallel.optional(),
    evaluate_every: count
      .optional()
      .describe('Steps between two measurements on dev; they are logged and change nothing. Absent: 20.'),
    schedule: Schedule,
    saved_model: SavedModel.optional().describe('Absent: float32, in files of at most 50 GB.'),
  })
  .meta({ title: 'ContrastiveConfig', description: 'Configuration of stage `contrastive`.' });
