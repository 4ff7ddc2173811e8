// Stage `distill`: a small text encoder and a token table learn the vectors of the language model.
import { z } from 'zod';
import { count, Schedule, weight } from './blocks.ts';

const mixed = (kind: string) => weight.describe(`Weight of ${kind}.`);

export const DistillConfig = z
  .strictObject({
    stage: z.literal('distill').describe('Name of the stage.'),
    vocabulary_size: count.describe('Entries of the WordPiece vocabulary.'),
    layers: count.describe('Transformer blocks of the student.'),
    width: count.describe('Width of its token states; a multiple of `heads`.'),
    heads: count.describe('Attention heads per block.'),
    context_length: count.describe('Tokens of a text that are read, special tokens included.'),
    initial_weights: z
      .string()
      .describe(
        'Where the transformer starts: `scratch`, or a package with a BERT-shaped sentence encoder of the same width.',
      ),
    matryoshka_dims: z
      .array(count)
      .min(1)
      .describe('Lengths at which a cut vector must work too; the largest is the whole vector.'),
    contrastive_weight: weight.describe('Weight of the contrastive loss beside the regression onto the teacher.'),
    temperature: z
      .number()
      .positive()
      .describe('Cosines are divided by it before the softmax of the contrastive loss.'),
    mix: z
      .strictObject({
        captions: mixed('captions of images'),
        groups: mixed('captions without images'),
        long: mixed('long descriptions'),
        translations: mixed('translated captions'),
        fragments: mixed('short phrases'),
        prompts: mixed('prompts made from class names'),
      })
      .describe(
        'How often each kind of text is drawn, relative to the others; kinds that the data lacks are left out.',
      ),
    batch_tokens: count.describe('Tokens per step, padding included.'),
    schedule: Schedule,
    static: z
      .strictObject({ batch_size: count.describe('Texts per step.'), schedule: Schedule })
      .describe('Training of the static tier: the mean of token rows.'),
  })
  .meta({ title: 'DistillConfig', description: 'Configuration of stage `distill`.' });
