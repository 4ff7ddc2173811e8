// Stage `mntp`: a causal language model learns to look both ways, by masked next-token prediction.
import * as z from 'zod';
import { count, fraction, LanguageModel, Lora, Parallel, SavedModel, Schedule } from '../blocks.ts';

export const MntpConfig = z
  .strictObject({
    stage: z.literal('mntp').describe('Name of the stage.'),
    language_model: LanguageModel,
    lora: Lora,
    mask_share: fraction.describe('Fraction of the tokens that are masked.'),
    mask_token: z.string().describe("The token that stands for a masked one; one token of the model's vocabulary."),
    masked_as: z
      .strictObject({
        mask_token: fraction.describe('Fraction that become the mask token.'),
        random_token: fraction.describe('Fraction that become any token of the vocabulary.'),
      })
      .optional()
      .describe(
        'What stands for the tokens that are masked; the rest stay as they are, and are predicted all the same. Absent: ' +
          '0.8 and 0.1, as in BERT.',
      ),
    caption_share: fraction.describe('Fraction of captions in the mix; the rest are windows of plain documents.'),
    sampling: z
      .enum(['with_replacement', 'epochs'])
      .optional()
      .describe(
        '`epochs`: every window and every caption comes once before any comes twice, and each step has `caption_share` of its ' +
          'texts. `with_replacement`: each text of a step is drawn from all of them. Absent: with_replacement.',
      ),
    pair_captions: z
      .boolean()
      .optional()
      .describe('Whether the captions of the train images are among the captions. Absent: false, only `groups` are.'),
    max_tokens: count.describe('Tokens of a text that are read.'),
    batch_size: count.describe('Texts per step.'),
    micro_batch: count.optional().describe('Texts that a process computes at once; absent: all of its share.'),
    parallel: Parallel.optional(),
    schedule: Schedule,
    saved_model: SavedModel.optional().describe('Absent: float32, in files of at most 50 GB.'),
  })
  .meta({ title: 'MntpConfig', description: 'Configuration of stage `mntp`.' });
